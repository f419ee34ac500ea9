"""The model card's content, from a model's lineage and from what its stages reported."""

from __future__ import annotations

from dataclasses import replace

from wavlm.evaluation.results.board import Row, notes_of, rows_of, synthetic_rows_of
from wavlm.evaluation.results.layers import describe_centres
from wavlm.export.card import Card
from wavlm.export.facts import ModelFacts, Origin
from wavlm.pipeline.artifacts import ImportedModel, Model, lineage
from wavlm.pipeline.imported import describe_source
from wavlm.pipeline.results import label_quality_of, read_training_results
from wavlm.pipeline.scoreboard import board_of, own_results
from wavlm.pipeline.shares import sample_rows
from wavlm.pipeline.start import describe_start
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe


def card_of(model: Model, store: Store) -> Card:
    """The content of the model card: corpora (those of the teachers too), numbers, lineage."""
    models = _models(model)
    return Card(
        name=model.name,
        key=model.key,
        origins=origins_of(model, store),
        lineage=tuple(str(item) for item in lineage([model]) if item is not model),
        numbers=_numbers(model, store),
        has_start=_has_unlisted(model, store),
        is_contrastive=model.train.quantizer is not None,
        samples=tuple(row for item in models for row in sample_rows(item, store)),
    )


def with_results(card: Card, model: Model, recipe: Recipe, store: Store) -> Card:
    """The card with the results of the recipe's suite, as far as they are there, and where the layers are centred."""
    board = board_of(model, recipe, store)
    if not board.results:
        return card
    centres = describe_centres(own_results(board, model), board.subjects.get(model.key, model.name))
    return replace(
        card,
        results=_as_table(rows_of(board)),
        synthetic_results=_as_table(synthetic_rows_of(board)),
        result_notes=tuple(notes_of(board)),
        centres=centres,
    )


def _as_table(rows: list[Row]) -> tuple[tuple[str, ...], ...]:
    """The names of columns, then rows; empty without rows."""
    return (tuple(rows[0]), *(tuple(row.values()) for row in rows)) if rows else ()


def origins_of(model: Model, store: Store) -> tuple[Origin, ...]:
    """The corpora that a model and its teachers were learnt from, and the models from elsewhere, with their own."""
    found = [
        shards.corpus.spec
        for item in _models(model)
        for speech in item.shards
        for shards in (*(item.codebook.shards if item.codebook else ()), speech, *item.noise, *item.rooms)
    ]
    origins = [Origin.model_validate(spec, from_attributes=True, strict=False) for spec in found]
    for imported in _imported(model):
        spec = imported.spec
        source = f"{imported.called}: {describe_source(imported)}"
        given = Origin(name=source, role="model", license=spec.license, homepage=spec.homepage, citation=spec.citation)
        origins += [given, *(_facts_of(imported, store).origins if store.is_complete(imported) else ())]
    return tuple(dict.fromkeys(origins))


def _has_unlisted(model: Model, store: Store) -> bool:
    """Whether it comes from weights of which nobody listed what they were learnt from."""
    imported = _imported(model)
    unlisted = [item for item in imported if not store.is_complete(item) or not _facts_of(item, store).origins]
    return bool(unlisted) or any(item.start and not isinstance(item.start, ImportedModel) for item in _models(model))


def _facts_of(imported: ImportedModel, store: Store) -> ModelFacts:
    return store.facts(imported, ModelFacts)


def _imported(model: Model) -> list[ImportedModel]:
    """The models from elsewhere of its lineage."""
    return [item for item in lineage([model]) if isinstance(item, ImportedModel)]


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
        origin = "by its teacher" if quality.features.startswith("layer") else f"from {quality.features}"
        found[f"PNMI of the labels, made {origin}"] = round(quality.pnmi, 4)
    found |= _starts(model, store)
    if training := read_training_results(store.path(model)):
        found["updates"] = training.updates
        found["precision of the training"] = model.train.precision
        if training.valid_loss and model.labels:
            found["validation loss, of these labels"] = round(training.valid_loss[1], 4)
        if training.masked_accuracy is not None:
            found["masked accuracy"] = round(training.masked_accuracy, 4)
        if training.majority is not None:
            found["share of the commonest label"] = round(training.majority, 4)
    return found
