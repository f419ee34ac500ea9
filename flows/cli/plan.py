"""The plan of a recipe as a table: what is there, what would be made and why. Imports neither Prefect nor torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from rich.markup import escape
from rich.table import Table

from wavlm.execution.rates import STAGES_MEASURED
from wavlm.pipeline.amounts import Sum
from wavlm.pipeline.artifacts import (
    Artifact,
    Codebook,
    Corpus,
    Evaluation,
    Finetune,
    ImportedModel,
    Model,
    Shards,
)
from wavlm.pipeline.cost import cost
from wavlm.pipeline.evaluation_stages import FEATURES
from wavlm.pipeline.first_downloads import describe_digests
from wavlm.pipeline.garbage.thinned import find_thinned
from wavlm.pipeline.gpus import ASSUMED_UTILISATION, GPUS
from wavlm.pipeline.growth import describe_generation, describe_reuse
from wavlm.pipeline.imported import describe_source
from wavlm.pipeline.language_models import language_model_of
from wavlm.pipeline.one_look import one_look
from wavlm.pipeline.plan import plan
from wavlm.pipeline.refreshes import describe_refresh
from wavlm.pipeline.relatives import explain_make
from wavlm.pipeline.resolve import resolve
from wavlm.pipeline.sampling import describe_times
from wavlm.pipeline.shares import describe_shares
from wavlm.pipeline.stage_cost import Cost
from wavlm.pipeline.start import describe_start
from wavlm.pipeline.store import Store
from wavlm.pipeline.summary import show_hours
from wavlm.specs.yaml import read_recipe

MEGABITS = 1000.0  # per second
State = Literal["there", "make", "?", "broken"]
_COLOURS: dict[State, str] = {"there": "green", "make": "yellow", "?": "yellow", "broken": "red"}
_WORDS: dict[State, str] = {
    "there": "there, and used again",
    "make": "to be made",
    "?": "not known before the run has read folders, models and archives without a digest",
    "broken": "broken",
}


def plan_table(recipe: Path, store: Store) -> Table:
    """Each artifact in order: there and how many hours it holds, or to be made and why."""
    with one_look():
        return _plan_table(recipe, store)


def _plan_table(recipe: Path, store: Store) -> Table:
    table = Table(title=escape(str(recipe)), title_justify="left", box=None)
    table.add_column("")
    table.add_column("artifact", no_wrap=True, overflow="fold")
    table.add_column("why", overflow="fold")
    made: set[str] = set()
    recipe_spec = read_recipe(recipe)
    artifacts = plan(resolve(recipe_spec, store))
    states = _states(artifacts, store)
    for artifact in artifacts:
        state = states[artifact]
        notes = [] if state == "broken" else list(describe(artifact, store))
        why = "; ".join([*_reasons(artifact, state, store, made), *notes])
        table.add_row(f"[{_COLOURS[state]}]{state}[/]", escape(str(artifact)), escape(why))
        made |= {artifact.key} if state == "make" else set()
    counts = "; ".join(_count(artifacts, states))
    table.caption = "\n".join(filter(None, (escape(describe_refresh(recipe_spec, store.root)), counts)))
    table.caption_justify = "left"
    return table


def _states(artifacts: Sequence[Artifact], store: Store) -> dict[Artifact, State]:
    missing = [item for item in artifacts if not store.is_complete(item)]
    again = find_thinned([item for item in missing if item.is_known], store)

    def state(artifact: Artifact) -> State:
        if not artifact.is_known:
            return "?"
        if store.find_broken(artifact):
            return "broken"
        return "make" if artifact in missing or artifact in again else "there"

    return {artifact: state(artifact) for artifact in artifacts}


def _reasons(artifact: Artifact, state: State, store: Store, made: set[str]) -> Iterator[str]:
    if state == "?":
        yield _explain_unknown(artifact)
    elif state == "broken":
        yield str(store.find_broken(artifact))
    elif state == "make" and store.is_complete(artifact):
        yield "again: its audio was dropped, and shards are to be made from it"
    elif state == "make":
        yield explain_make(artifact, store, made)
        yield from describe_reuse(artifact, store)


def _count(artifacts: Sequence[Artifact], states: Mapping[Artifact, State]) -> Iterator[str]:
    """How much of each state, by kind: `there and used again: 2 corpus, 2 shards`."""
    for state, words in _WORDS.items():
        kinds = Counter(item.kind for item in artifacts if states[item] == state)
        if kinds:
            yield f"{words}: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}"


def describe(artifact: Artifact, store: Store) -> Iterator[str]:
    """What a reader of the plan should know of an artifact, there or not."""
    if store.is_complete(artifact) and store.path(artifact).name != Path(artifact.folder).name:
        yield f"lies in {store.path(artifact).relative_to(store.root)}"
    if isinstance(artifact, Corpus):
        yield from describe_generation(artifact, store)
        yield from describe_digests(artifact.spec)
    if isinstance(artifact, Corpus | Shards) and store.is_complete(artifact):
        yield show_hours(artifact, store)
    if isinstance(artifact, ImportedModel) and artifact.is_known:
        yield f"from {describe_source(artifact)}"
    if isinstance(artifact, Codebook) and artifact.shards:
        yield describe_shares(artifact, store)
    if isinstance(artifact, Model) and (times := describe_times(artifact, store)):
        yield times
    if isinstance(artifact, Model) and (start := describe_start(artifact, store)):
        yield f"starts from {start}"


FROM_UNKNOWN = "made from what is not known yet"


def _explain_unknown(artifact: Artifact) -> str:
    if isinstance(artifact, Corpus) and artifact.spec.folder is None:
        return "the run downloads its archives first, because their content is not known before"
    if isinstance(artifact, ImportedModel) and not artifact.spec.folder:
        return f"{describe_source(artifact)}: the run asks the registry which version that is"
    unread = ""
    if isinstance(artifact, Corpus | ImportedModel) and artifact.spec.folder:
        unread = artifact.spec.folder.path
    elif isinstance(artifact, Evaluation | Finetune) and (model := language_model_of(artifact.spec)):
        unread = "" if model.sha256 else model.path
    return f"{unread} is new, has changed or is not there; the run reads it first" if unread else FROM_UNKNOWN


def cost_table(recipe: Path, store: Store, megabits: float = MEGABITS, gpus: int = 0, nodes: int = 1) -> Table:
    """What a real run needs, stage by stage; `?` for what neither the store nor the specs know.

    megabits: of the network per second. gpus: of each of the nodes; 0: GPU hours alone.
    """
    estimate = cost(resolve(read_recipe(recipe), store), store)
    caption = "\n".join((*_captions(estimate), _speed(estimate, megabits), *_spread(estimate, gpus, nodes)))
    names = [f"{gpu.name} h" for gpu in GPUS]
    table = Table("iteration", "stage", "core h", "disk GB", "left GB", "peak GB", *names, caption=caption, box=None)
    table.caption_justify = "left"
    for column in table.columns[2:]:
        column.justify = "right"
    for item, peak in zip(estimate.stages, estimate.peaks, strict=True):
        hours = [show_gpu_hours(item.gpu_hours(gpu), item.precision) for gpu in GPUS]
        amounts = [item.core_hours, item.disk_gigabytes, item.left_gigabytes, peak]
        table.add_row(str(item.iteration or "all"), item.stage, *(found.show(2) for found in amounts), *hours)
    amounts = [estimate.core_hours, estimate.disk_gigabytes, estimate.left_gigabytes, estimate.peak_gigabytes]
    totals = [show_gpu_hours(estimate.gpu_hours(gpu), "?") for gpu in GPUS]
    table.add_row("", "[bold]all[/]", *(found.show(2) for found in amounts), *totals)
    return table


def show_gpu_hours(hours: Sum | None, precision: str) -> str:
    """Hours, or the precision that the card does not have."""
    return hours.show(1) if hours else ("-" if precision == "?" else f"no {precision}")


def _captions(estimate: Cost) -> Iterator[str]:
    hours = estimate.hours.show(0 if estimate.hours.known >= 10 else 2)
    unknown = f" (unknown: {', '.join(estimate.unknown_hours)})" if estimate.unknown_hours else ""
    iterations = [
        f"iteration {number}: {parameters / 1e6:,.1f} M parameters, {f'{epochs:,.1f}' if epochs else '?'} epochs"
        for number, (parameters, epochs) in enumerate(zip(estimate.parameters, estimate.epochs, strict=True), 1)
    ]
    spoken = f"{hours} h of speech{unknown}"
    yield f"{'; '.join([spoken, *iterations])}." if iterations else f"No network is pre-trained{unknown}."
    kept = Sum(estimate.disk_gigabytes.known - estimate.freed_gigabytes.known, estimate.disk_gigabytes.unknown)
    yield (
        "Left: disk for what the store does not hold yet. Peak: what is taken while a stage runs, if nothing was "
        f"deleted; {kept.show(1)} GB stay after `wavlm gc --delete`."
    )
    if any(item.stage == FEATURES for item in estimate.stages):
        yield "Features of evaluations: all utterances are counted; the option --features-gigabytes bounds what stays."
    if estimate.in_place:
        yield f"Not counted: the files of folders that are read in place ({', '.join(estimate.in_place)})."
    yield (
        f"Core hours: rates of {STAGES_MEASURED}. GPU hours: counted operations at {ASSUMED_UTILISATION:.0%} of the "
        "card's data sheet, in the precision of the training, labels in fp32: an assumption, not a measurement."
    )
    if estimate.heads.fits:
        yield (
            f"Heads: {estimate.heads.fits:,} fits with {estimate.heads.updates:,} updates, all of which are counted; "
            "early stopping makes fewer. LSTMs do not reach the assumed rate of a GPU."
        )
    of_heads = f", {estimate.heads.core_hours.show(1)} of them for heads" if estimate.heads.fits else ""
    yield f"Without a GPU: {estimate.core_hours_without_gpu.show(1)} core h in all{of_heads}."
    if estimate.beam_searched:
        yield f"Not counted: the beam search over the test part of {', '.join(estimate.beam_searched)}, on one core."
    wanted = {item.precision for item in estimate.stages if item.petaflops.known}
    for gpu in GPUS:
        if lacking := sorted(wanted - set(gpu.tflops)):
            yield f"{gpu.name} does not have {', '.join(lacking)}: give `precision: fp16`, or use another card."


def _speed(estimate: Cost, megabits: float) -> str:
    """What downloading takes, of all archives and of those that are not there."""

    def show(size: Sum) -> str:
        return f"{size.show(1)} GB, {(size * (8e3 / megabits / 3600)).show(1)} h"

    size, left = estimate.download_gigabytes, estimate.left_to_download_gigabytes
    rest = "" if left == size else f"; left: {show(left)}"
    unknown = f" (size unknown: {', '.join(estimate.unknown_sizes)})" if estimate.unknown_sizes else ""
    return f"To download at {megabits:,.0f} Mbit/s: {show(size)}{unknown}{rest}."


def _spread(estimate: Cost, gpus: int, nodes: int) -> Iterator[str]:
    """How long the GPUs' part takes on so many."""
    if not gpus:
        return
    found = {gpu.name: estimate.gpu_hours(gpu) for gpu in GPUS}
    days = [f"{name} {(hours * (1 / (24 * gpus * nodes))).show(1)} days" for name, hours in found.items() if hours]
    what = f"{nodes} nodes of {gpus} GPUs" if nodes > 1 else f"{gpus} GPUs"
    yield f"On {what}, without loss between them: {', '.join(days) or 'no card has all precisions'}."
