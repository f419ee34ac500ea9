"""The pre-training objective of a training spec: the only place of the trainer that chooses one.

A new objective has a spec in wavlm/specs/objectives.py, a module here beside `masked_prediction` and `contrastive`
with a class of sums and an `Objective`, and a case in each function below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from wavlm.engine.named_numbers import NamedNumbers
from wavlm.engine.ranks import Ranks
from wavlm.loader.batch import Batch
from wavlm.specs import Contrastive, MaskedPrediction, TrainSpec
from wavlm.train.contrastive import ContrastiveLoss, ContrastiveSums, count_collapsed
from wavlm.train.masked_prediction import MaskedPredictionLoss, MaskedPredictionSums

Sums = MaskedPredictionSums | ContrastiveSums


class Validation(Protocol):
    """A measurement of held-out speech, added up micro-batch by micro-batch."""

    def add(self, network: nn.Module, batch: Batch) -> None:
        """Add one micro-batch of this rank."""

    def metrics(self, ranks: Ranks, prefix: str) -> dict[str, float]:
        """Metrics over all ranks, under names like `valid/loss`; empty if nothing was measured."""


class Objective(Protocol):
    """What an update needs of an objective."""

    def compute(self, module: nn.Module, batch: Batch, tera_operations: float) -> tuple[Tensor, NamedNumbers]:
        """The numerator of the loss () of one micro-batch, and its sums by name, among them `loss`."""

    def divisor(self, totals: NamedNumbers) -> Tensor:
        """What the gradients of the summed numerators are divided by ()."""

    def unpack(self, numbers: Mapping[str, float]) -> Sums:
        """The sums among numbers by name."""

    def validation(self, num_clusters: int, device: torch.device, num_streams: int = 1) -> Validation:
        """An empty measurement of held-out speech."""


def build_objective(train: TrainSpec, *, compiled: bool = False, done_updates: int = 0) -> Objective:
    """The objective that the spec names, for the update after `done_updates`. compiled: whether the network is."""
    match train.objective:
        case MaskedPrediction():
            return MaskedPredictionLoss(train, compiled)
        case Contrastive():
            return ContrastiveLoss(train, train.objective, done_updates)


def no_sums(train: TrainSpec) -> Sums:
    """The sums of no micro-batch."""
    match train.objective:
        case MaskedPrediction():
            return MaskedPredictionSums()
        case Contrastive():
            return ContrastiveSums()


def add_sums(before: Sums, more: Sums) -> Sums:
    """The sums of both, which are of one objective. Raises TypeError if they are not."""
    if isinstance(before, MaskedPredictionSums) and isinstance(more, MaskedPredictionSums):
        return before.plus(more)
    if isinstance(before, ContrastiveSums) and isinstance(more, ContrastiveSums):
        return before.plus(more)
    raise TypeError(f"cannot add {type(more).__name__} to {type(before).__name__}")


def count_collapsed_updates(train: TrainSpec, before: int, update: int, totals: Sums) -> int:
    """How many updates in a row, up to this one, learned nothing although loss and accuracy look good.

    Raises BadDataError after too many of them.
    """
    if isinstance(train.objective, Contrastive) and isinstance(totals, ContrastiveSums):
        return count_collapsed(train.objective, before, update, totals)
    return 0
