"""Where a training starts, and what becomes of the head, in words: before training and after it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from wavlm.errors import CodedError
from wavlm.labels.facts import CodebookFacts
from wavlm.nn.description import WEIGHTS_FILE
from wavlm.nn.start import Labelling, StartHead, check_start
from wavlm.pipeline.artifacts import ImportedModel, Model
from wavlm.pipeline.imported import describe_source
from wavlm.pipeline.store import Store
from wavlm.specs import StartSpec
from wavlm.train.facts import TrainingFacts


class Weights(NamedTuple):
    """The model folder that a training starts from, and the sha256 of its weights."""

    folder: Path
    sha256: str


def weights_of(start: StartSpec | ImportedModel, store: Store) -> Weights:
    """Raises BadDataError (INPUT_MISSING) if a model of the recipe is not complete."""
    if isinstance(start, ImportedModel):
        return Weights(store.path(start), store.record(start).files[WEIGHTS_FILE].sha256)
    return Weights(Path(start.folder or "").absolute(), start.sha256 or "")


def labelling_of(model: Model, store: Store) -> Labelling:
    """The labels that a model predicts; whose centroids they are only if their codebook is complete."""
    codebook = model.codebook
    if codebook is None:
        return Labelling(0, None, quantizer=model.train.quantizer)
    sha256 = store.facts(codebook, CodebookFacts).sha256 if store.is_complete(codebook) else None
    return Labelling(codebook.spec.num_clusters, sha256, codebook.spec.num_streams)


def expect_head(model: Model, store: Store) -> StartHead | None:
    """What would become of the head if the training began now; None if that cannot be known yet.

    Raises UsageError and BadDataError as `check_start` does.
    """
    start = model.start
    if start is None or (isinstance(start, ImportedModel) and not store.is_complete(start)):
        return None
    return check_start(weights_of(start, store).folder, model.network, labelling_of(model, store))


def describe_start(model: Model, store: Store) -> str:
    """Where a model starts, and whether its head is kept or fresh; empty if it starts with random weights.

    Of a complete model this is what its training reported, else what the weights to start from say now.
    """
    if model.start is None:
        return ""
    if isinstance(model.start, ImportedModel):
        place = f"{model.start.called} ({describe_source(model.start)})"
    else:
        place = f"weights with sha256 {(model.start.sha256 or '')[:12]}..."
    head = f"head is {store.facts(model, TrainingFacts).head}" if store.is_complete(model) else _expect(model, store)
    return f"{place}, {head}"


def _expect(model: Model, store: Store) -> str:
    try:
        return str(expect_head(model, store) or "its head is looked at when it is there")
    except CodedError as error:
        return f"which cannot be used now: {error.code}"
