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
        numbers=_numbers(model, store),
        samples=tuple(row for item in models for row in sample_rows(item, store)),
    )


def _numbers(model: Model, store: Store) -> dict[str, float | int | str]:
    found: dict[str, float | int | str] = {}
    if quality := label_quality_of(model.labels, store):
        found["labels"] = f"{quality.features}, K={quality.num_clusters}"
        found["PNMI of the labels, which its teacher made"] = round(quality.pnmi, 4)
    if start := describe_start(model, store):
        found["started from"] = start
    if training := read_training_results(store.path(model)):
        found["updates"] = training.updates
        if training.valid_loss:
            found["validation loss, of these labels"] = round(training.valid_loss[1], 4)
        if training.masked_accuracy is not None:
            found["masked accuracy"] = round(training.masked_accuracy, 4)
        if training.majority is not None:
            found["share of the commonest label"] = round(training.majority, 4)
    return found
