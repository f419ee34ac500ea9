"""The description of a registered version: tags with its lineage, parameters, metrics, datasets, plots and card.

All of it is read from the store and the recipe. Nothing here calls the registry.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from tasks.registry.lineage import CARD_FILE, LINEAGE_FILE, file_digests, parent_keys
from tasks.registry.mlmodel import MLMODEL_FILE
from tasks.registry.provenance import git_commit
from tasks.registry.runs import Tracked
from tasks.registry.versions import (
    MODEL_FILES,
    MODEL_FOLDER,
    NATIVE_FOLDER,
    native_path,
    sha256_tag,
)
from tasks.registry.words import PAGE
from wavlm.errors.secrets import without_secrets_in
from wavlm.evaluation.facts import SCORES_PLOT
from wavlm.evaluation.fast.metrics import probe_metrics
from wavlm.evaluation.publication import publish_results
from wavlm.execution.metrics import METRICS_FILE
from wavlm.export import HF_FOLDER, model_card
from wavlm.pipeline.artifacts import Export, Model, Registration, Shards
from wavlm.pipeline.cards import card_of, with_results
from wavlm.pipeline.parts import read_parts
from wavlm.pipeline.plan import scores_of
from wavlm.pipeline.plots import QualityBar, plot_curves, plot_quality
from wavlm.pipeline.published import RESULTS_FOLDER
from wavlm.pipeline.results import label_quality_of, read_scores_facts
from wavlm.pipeline.scoreboard import board_of, own_results, suite_metrics
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts
from wavlm.specs import AptSource, HttpsSource, MadeSource, Recipe, Source, Spec
from wavlm.specs.sampling import MOST_LANGUAGES, name_metric
from wavlm.storage.files import sha256_of, write_text
from wavlm.storage.seals import check_sealed

PLOTS_FOLDER = "plots"
MIXTURES_SHOWN = 3
MAX_PARAMETER_CHARACTERS = 500


@dataclass(frozen=True)
class DatasetInput:
    """One set of shards that a model was made from."""

    name: str
    digest: str
    context: str  # training, noise or rooms
    source_type: str
    source: str  # JSON
    profile: str  # JSON


def version_tags(tracked: Tracked, store: Store, lineage_file: Path) -> dict[str, str]:
    """The tags of a version. The keys of the rest of its lineage are in `lineage.json`, whose digest is a tag."""
    digests = file_digests(tracked.model, store)
    files = {name: digests[name] for name in map(native_path, MODEL_FILES)} | {LINEAGE_FILE: sha256_of(lineage_file)}
    found = {**tracked.tags, **parent_keys(tracked.model)}
    if commit := git_commit():
        found["wavlm.commit"] = commit
    return found | {sha256_tag(name): digest for name, digest in files.items()}


def files_to_log(model: Model, store: Store, out: Path) -> Iterator[tuple[Path, str]]:
    """The files that a version's run keeps, each with its folder among the run's artifacts. `out` holds those made now.

    One more file of a version is one more line here.
    """
    for plot in sorted((out / PLOTS_FOLDER).glob("*")):
        yield plot, PLOTS_FOLDER
    for path in sorted((out / RESULTS_FOLDER).glob("*/*")):
        yield path, f"{RESULTS_FOLDER}/{path.parent.name}"  # the name of the suite
    for path in sorted((store.path(Export(model)) / HF_FOLDER).iterdir()):
        if path.name != CARD_FILE:  # the version has one with its own title
            yield path, MODEL_FOLDER
    for name in (CARD_FILE, MLMODEL_FILE, LINEAGE_FILE):
        yield out / name, MODEL_FOLDER
    for name in (*MODEL_FILES, METRICS_FILE):
        if (path := store.path(model) / name).is_file():
            yield path, f"{MODEL_FOLDER}/{NATIVE_FOLDER}"


def parameters(model: Model) -> dict[str, str]:
    """Every field of the specs that made the model, as dotted names.

    Without those that may change while the model stays the same: a run keeps the first value of a parameter for good.
    """
    found = {
        **dict(_flatten("network", model.network.model_dump(mode="json"))),
        **dict(_flatten("train", _dump_identity(model.train))),
    }
    if model.codebook:
        found |= dict(_flatten("codebook", _dump_identity(model.codebook.spec)))
    if model.mix:
        found |= dict(_flatten("mix", _dump_identity(model.mix)))
    return {name: value[:MAX_PARAMETER_CHARACTERS] for name, value in found.items()}


def metrics(model: Model, recipe: Recipe, store: Store) -> dict[str, float]:
    """Label quality and layer scores of a model, under the names that gates use."""
    found: dict[str, float] = {}
    quality = label_quality_of(model.labels, store)
    if quality:
        found |= {
            "labels/pnmi": quality.pnmi,
            "labels/phone_purity": quality.phone_purity,
            "labels/cluster_purity": quality.cluster_purity,
            "labels/num_frames": float(quality.num_frames),
        }
    found |= _part_metrics(model, store)
    if scores := read_scores_facts(scores_of(model, recipe), store):
        found |= probe_metrics(scores)
    if recipe.evaluate:
        found |= suite_metrics(recipe.evaluate.name, own_results(board_of(model, recipe, store), model))
    return found


def write_files(artifact: Registration, store: Store, recipe: Recipe, out: Path) -> None:
    """Write what a version has beside the model and its plots, as far as no registry is needed: its card and tables."""
    model = artifact.model
    title = f"{artifact.registry_name}, iteration {model.iteration}"
    card = replace(card_of(model, store), name=title, summary=f"{recipe.description.rstrip('. ')}. {PAGE}")
    write_text(out / CARD_FILE, model_card(with_results(card, model, recipe, store), model.network))
    _write_evaluations(model, recipe, store, out)


def _write_evaluations(model: Model, recipe: Recipe, store: Store, out: Path) -> None:
    """Write what the recipe's suite found into a folder of the registration; none if there is nothing."""
    shutil.rmtree(out / RESULTS_FOLDER, ignore_errors=True)  # of an attempt that was cut short
    board = board_of(model, recipe, store)
    if recipe.evaluate and (own := own_results(board, model)):
        title = f"{recipe.registry_name}, iteration {model.iteration} ({model.key})"
        publish_results(board, own, out / RESULTS_FOLDER / recipe.evaluate.name, title)


def _part_metrics(model: Model, store: Store) -> dict[str, float]:
    """Label quality and rejects of each of several corpora, and of those of several languages that are measured."""
    found: dict[str, float] = {}
    parts = read_parts(model, store)
    languages = [part for part in parts if part.kind == "language"][:MOST_LANGUAGES]
    for part in (*(part for part in parts if part.kind == "corpus"), *languages):
        of = f"{part.kind}/{name_metric(part.name)}"
        found |= {} if part.pnmi is None else {f"labels/{of}/pnmi": part.pnmi}
        found |= {} if part.rejected is None else {f"rejected/{of}": float(part.rejected)}
    return found


def datasets(model: Model, store: Store) -> list[DatasetInput]:
    """The shards that the model was trained on, with where their bytes come from."""
    roles = (("training", model.shards), ("noise", model.noise), ("rooms", model.rooms))
    return [_dataset(item, context, store) for context, items in roles for item in items]


def draw_plots(model: Model, recipe: Recipe, store: Store, out: Path) -> list[Path]:
    """Draw all plots of a model into a folder; what has no data is left out."""
    out.mkdir(exist_ok=True)
    title = f"{recipe.registry_name}, iteration {model.iteration} ({model.key})"
    drawn = [plot_curves(store.path(model), out / "curves.png", title)]
    bars = _quality_bars(model, store)
    if bars:
        drawn.append(plot_quality(bars, out / "label_quality.png"))
    scores = scores_of(model, recipe)
    layers = store.path(scores) / SCORES_PLOT if scores else None
    if layers and layers.is_file():
        check_sealed(layers)
        drawn.append(Path(shutil.copyfile(layers, out / "layers.png")))
    if model.mixtures:
        pictures = sorted(store.path(model.mixtures).glob("listen/*.png"))[:MIXTURES_SHOWN]
        for number, picture in enumerate(pictures, 1):
            check_sealed(picture)
            drawn.append(Path(shutil.copyfile(picture, out / f"mixture{number}.png")))
    return drawn


def generations(model: Model) -> list[Model]:
    """The model and its teachers, first iteration first. Models from elsewhere have no labels of ours."""
    teacher = model.codebook.teacher if model.codebook else None
    return [*(generations(teacher) if isinstance(teacher, Model) else []), model]


def _quality_bars(model: Model, store: Store) -> list[QualityBar]:
    found = [(item, label_quality_of(item.labels, store)) for item in generations(model)]
    return [
        QualityBar(
            title=f"iteration {item.iteration}\n{quality.features}, K={quality.num_clusters}",
            pnmi=quality.pnmi,
            phone_purity=quality.phone_purity,
            cluster_purity=quality.cluster_purity,
            num_frames=quality.num_frames,
        )
        for item, quality in found
        if quality
    ]


def _dataset(shards: Shards, context: str, store: Store) -> DatasetInput:
    facts = store.facts(shards, ShardsFacts)
    spec = shards.corpus.spec
    source_type, source = _source(spec.sources[0])
    profile = facts.model_dump(mode="json", include={"hours", "utterances", "speakers"})
    return DatasetInput(
        name=shards.name,
        digest=shards.key,
        context=context,
        source_type=source_type,
        source=json.dumps(source),
        profile=json.dumps({**profile, "license": spec.license}),
    )


def _source(source: Source) -> tuple[str, dict[str, JsonValue]]:
    if isinstance(source, HttpsSource):
        return "http", {"url": without_secrets_in(source.urls[0]), "sha256": source.sha256}
    if isinstance(source, AptSource):
        package: dict[str, JsonValue] = {"package": source.package, "version": source.version}
        return "apt", {**package, "sha256": source.sha256}
    if isinstance(source, MadeSource):
        return "made", {"synthesiser": "espeak-ng", "version": source.version, "sha256": source.sha256}
    return "local", {"uri": source.path, "content": source.content, "generation": source.generation}


def _dump_identity(spec: Spec) -> dict[str, JsonValue]:
    return spec.model_dump(mode="json", exclude=set(spec.not_identity))


def _flatten(prefix: str, value: JsonValue) -> Iterator[tuple[str, str]]:
    """Dotted names and texts; lists stay in one piece."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _flatten(f"{prefix}.{name}", item)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)
