"""What a model that starts from other weights does with their head, in words: before training and after it."""

from __future__ import annotations

from wavlm.errors import CodedError
from wavlm.nn.start import check_start
from wavlm.pipeline.artifacts import Model
from wavlm.pipeline.store import Store
from wavlm.train.facts import TrainingFacts


def describe_start(model: Model, store: Store) -> str:
    """Where a model starts, and whether its head is kept or fresh; empty if it starts with random weights.

    Of a complete model this is what its training reported, else what the folder to start from says now.
    """
    if model.start is None:
        return ""
    head = f"head is {store.facts(model, TrainingFacts).head}" if store.is_complete(model) else _expect_head(model)
    return f"weights with sha256 {model.start.sha256[:12]}..., {head}"


def _expect_head(model: Model) -> str:
    """What would become of the head if the training began now."""
    if model.start is None or model.codebook is None:
        return "no head"
    try:
        return str(check_start(model.start, model.network, model.codebook.spec.num_clusters))
    except CodedError as error:
        return f"which cannot be used now: {error.code}"
