"""The plan of a recipe as a table: what is there, what would be made and why. Imports neither Prefect nor torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from wavlm.pipeline.artifacts import Artifact, Codebook, Corpus, Kind, Model, Shards
from wavlm.pipeline.cost import ASSUMED_UTILISATION, GPU_TFLOPS, Cost, cost
from wavlm.pipeline.garbage.thinned import find_thinned
from wavlm.pipeline.plan import plan, select_needed
from wavlm.pipeline.resolve import resolve
from wavlm.pipeline.shares import describe_shares
from wavlm.pipeline.start import describe_start
from wavlm.pipeline.store import Store
from wavlm.pipeline.summary import show_hours
from wavlm.specs.yaml import read_recipe

SHOWN_DIFFERENCES = 3


def plan_until(recipe: Path, until: Kind | None, store: Store) -> tuple[Artifact, ...]:
    """All artifacts of a recipe, or what those of kind `until` need."""
    return select_needed(plan(resolve(read_recipe(recipe), store)), until)


def plan_table(recipe: Path, store: Store) -> Table:
    """Each artifact in order: there and how many hours it holds, or to be made and why."""
    table = Table(title=escape(str(recipe)), title_justify="left", box=None)
    table.add_column("")
    table.add_column("artifact", no_wrap=True, overflow="fold")
    table.add_column("why", overflow="fold")
    made: set[str] = set()
    artifacts = plan(resolve(read_recipe(recipe), store))
    thinned = find_thinned([item for item in artifacts if not store.is_complete(item)], store)
    for artifact in artifacts:
        if broken := store.find_broken(artifact):
            table.add_row("[red]broken[/]", str(artifact), escape(str(broken)))
            continue
        notes = list(describe(artifact, store))
        if not artifact.is_known:
            table.add_row("[yellow]?[/]", str(artifact), "; ".join([_explain_unknown(artifact), *notes]))
            continue
        if artifact in thinned:
            table.add_row("[yellow]make[/]", str(artifact), "again: its audio was dropped, and its shards need it")
            continue
        if store.is_complete(artifact):
            table.add_row("[green]there[/]", str(artifact), "; ".join(notes))
            continue
        table.add_row("[yellow]make[/]", str(artifact), "; ".join([explain_make(artifact, store, made), *notes]))
        made.add(artifact.key)
    return table


def describe(artifact: Artifact, store: Store) -> Iterator[str]:
    """What a reader of the plan should know of an artifact, there or not."""
    if store.is_complete(artifact) and store.path(artifact).name != Path(artifact.folder).name:
        yield f"lies in {store.path(artifact).relative_to(store.root)}"
    if isinstance(artifact, Corpus | Shards) and store.is_complete(artifact):
        yield show_hours(artifact, store)
    if isinstance(artifact, Codebook):
        yield describe_shares(artifact, store)
    if isinstance(artifact, Model) and (start := describe_start(artifact, store)):
        yield f"starts from {start}"


def explain_make(artifact: Artifact, store: Store, made: set[str]) -> str:
    """Why an artifact would be made: continued, new, or unlike the nearest complete one."""
    if outdated := store.explain_outdated(artifact):
        return outdated
    if store.partial_folder(artifact).is_dir():
        return "begun; continues"
    found = store.explain(artifact)
    if found is None:
        return f"new: no {artifact.kind} is there"
    folder, differences = found
    inputs = sorted({item.field for item in differences if _holds_inputs(artifact, item.field)})
    fields = [item for item in differences if item.field not in inputs]
    parts = [
        f"{item.field} is {_shorten(item.existing)} there, {_shorten(item.wanted)} wanted"
        for item in fields[:SHOWN_DIFFERENCES]
    ]
    if len(fields) > SHOWN_DIFFERENCES:
        parts.append(f"{len(fields) - SHOWN_DIFFERENCES} more fields differ")
    if inputs:
        new = " (to be made)" if {item.key for item in artifact.inputs} & made else ""
        parts.append(f"other {', '.join(inputs)}{new}")
    return f"unlike {folder.name}: " + "; ".join(parts)


def _explain_unknown(artifact: Artifact) -> str:
    if isinstance(artifact, Corpus) and artifact.spec.folder:
        return f"{artifact.spec.folder.path} is new, has changed or is not there; the run reads it first"
    return "made from what is not known yet"


def _holds_inputs(artifact: Artifact, field: str) -> bool:
    value = getattr(artifact, field, None)
    return any(isinstance(item, Artifact) for item in (value if isinstance(value, tuple) else (value,)))


def _shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def cost_table(recipe: Path, store: Store) -> Table:
    """What a real run needs, stage by stage; `?` for what neither the store nor the specs know."""
    estimate = cost(resolve(read_recipe(recipe), store), store)
    gpus = [f"{name} h" for name in GPU_TFLOPS]
    table = Table("iteration", "stage", "core h", "disk GB", "left GB", *gpus, caption=_caption(estimate), box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for item in estimate.stages:
        hours = [item.gpu_hours(rate).show(1) for rate in GPU_TFLOPS.values()]
        amounts = [item.core_hours.show(2), item.disk_gigabytes.show(2), item.left_gigabytes.show(2)]
        table.add_row(str(item.iteration or "all"), item.stage, *amounts, *hours)
    totals = [estimate.gpu_hours(rate).show(1) for rate in GPU_TFLOPS.values()]
    amounts = [estimate.core_hours.show(2), estimate.disk_gigabytes.show(2), estimate.left_gigabytes.show(2)]
    table.add_row("", "[bold]all[/]", *amounts, *totals)
    return table


def _caption(estimate: Cost) -> str:
    hours = estimate.hours.show(0 if estimate.hours.known >= 10 else 2)
    unknown = f" (unknown: {', '.join(estimate.unknown_hours)})" if estimate.unknown_hours else ""
    iterations = [
        f"iteration {number}: {parameters / 1e6:,.1f} M parameters, {f'{epochs:,.1f}' if epochs else '?'} epochs"
        for number, (parameters, epochs) in enumerate(zip(estimate.parameters, estimate.epochs, strict=True), 1)
    ]
    return (
        f"{hours} h of speech{unknown}, {estimate.download_gigabytes.show(1)} GB to download; "
        f"{'; '.join(iterations)}. GPU hours assume {ASSUMED_UTILISATION:.0%} of the card's matrix rate. "
        "Left: disk for what the store does not hold yet."
    )
