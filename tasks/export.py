"""Write a model in other people's layouts, with a card made from its lineage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.orchestration.progress_bar import show_progress
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Export, Model, lineage
from wavlm.pipeline.results import label_quality_of, read_training_results
from wavlm.pipeline.shares import sample_rows
from wavlm.pipeline.start import describe_start
from wavlm.pipeline.store import Store

if TYPE_CHECKING:
    from wavlm.export import Card


@task(cache_policy=NO_CACHE, task_run_name="{artifact}")
def export(artifact: Export, store: Store, runtime: Runtime) -> Path:  # noqa: ARG001 - one shape
    """The folder with a Hugging Face folder, a fairseq-layout file and the model card."""
    from wavlm.export import build_export

    with show_progress(f"export {artifact.name}"):
        return store.make(
            artifact,
            lambda out: build_export(store.path(artifact.model), card_of(artifact, store), out),
        )


def card_of(artifact: Export, store: Store) -> Card:
    """The content of the model card: corpora (those of the teachers too), numbers, lineage."""
    from wavlm.export import Card

    model = artifact.model
    models = [item for item in lineage([model]) if isinstance(item, Model)]
    trained_on = {
        shards.corpus.key: shards.corpus.spec
        for item in models
        for labels in item.labels
        for shards in (*labels.codebook.shards, labels.shards, *item.noise, *item.rooms)
    }
    return Card(
        name=model.name,
        key=model.key,
        corpora=tuple(trained_on.values()),
        lineage=tuple(str(item) for item in lineage([model]) if item is not model),
        numbers=_numbers(artifact, store),
        samples=tuple(row for item in models for row in sample_rows(item, store)),
    )


def _numbers(artifact: Export, store: Store) -> dict[str, float | int | str]:
    model = artifact.model
    found: dict[str, float | int | str] = {}
    if quality := label_quality_of(model.labels, store):
        found["labels"] = f"{quality.features}, K={quality.num_clusters}"
        found["PNMI of the labels"] = round(quality.pnmi, 4)
    if start := describe_start(model, store):
        found["started from"] = start
    if training := read_training_results(store.path(model)):
        found["updates"] = training.updates
        if training.valid_loss:
            found["validation loss"] = round(training.valid_loss[1], 4)
        if training.masked_accuracy is not None:
            found["masked accuracy"] = round(training.masked_accuracy, 4)
        if training.majority is not None:
            found["share of the commonest label"] = round(training.majority, 4)
    return found
