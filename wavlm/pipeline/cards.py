"""The model card's content, from a model's lineage and from what its stages reported."""

from __future__ import annotations

from wavlm.export.card import Card
from wavlm.pipeline.artifacts import Model, lineage
from wavlm.pipeline.results import label_quality_of, read_training_results
from wavlm.pipeline.shares import sample_rows
from wavlm.pipeline.start import describe_start
from wavlm.pipeline.store import Store


def card_of(model: Model, store: Store) -> Card:
    """The content of the model card: corpora (those of the teachers too), numbers, lineage."""
    models = _models(model)
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
        numbers=_numbers(model, store),
        has_start=any(item.start for item in models),
        samples=tuple(row for item in models for row in sample_rows(item, store)),
    )


def _models(model: Model) -> list[Model]:
    """The models of its lineage: teachers first, then itself."""
    return [item for item in lineage([model]) if isinstance(item, Model)]


def _starts(model: Model, store: Store) -> dict[str, str]:
    """Which weights the model and its teachers started from, of those that did not start with random ones."""
    found = {item: describe_start(item, store) for item in reversed(_models(model))}
    return {
        "started from" if item is model else f"its teacher of iteration {item.iteration} started from": start
        for item, start in found.items()
        if start
    }


def _numbers(model: Model, store: Store) -> dict[str, float | int | str]:
    found: dict[str, float | int | str] = {}
    if quality := label_quality_of(model.labels, store):
        found["labels"] = f"{quality.features}, K={quality.num_clusters}"
        origin = "from MFCC" if quality.features == "MFCC" else "by its teacher"
        found[f"PNMI of the labels, made {origin}"] = round(quality.pnmi, 4)
    found |= _starts(model, store)
    if training := read_training_results(store.path(model)):
        found["updates"] = training.updates
        if training.valid_loss:
            found["validation loss, of these labels"] = round(training.valid_loss[1], 4)
        if training.masked_accuracy is not None:
            found["masked accuracy"] = round(training.masked_accuracy, 4)
        if training.majority is not None:
            found["share of the commonest label"] = round(training.majority, 4)
    return found
