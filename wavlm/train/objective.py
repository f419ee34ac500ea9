"""The pre-training objective of a training spec: the only place of the trainer that chooses one.

A new objective (such as contrastive learning) has a spec in wavlm/specs/training.py, a module here beside
`masked_prediction` with a class of sums and an `Objective`, and one case in `build_objective`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from wavlm.engine.named_numbers import NamedNumbers
from wavlm.engine.ranks import Ranks
from wavlm.loader.batch import Batch
from wavlm.specs import MaskedPrediction, TrainSpec
from wavlm.train.masked_prediction import MaskedPredictionLoss, MaskedPredictionSums

Sums = MaskedPredictionSums  # with a second objective the union of both classes


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


def build_objective(train: TrainSpec, *, compiled: bool = False) -> Objective:
    """The objective that the spec names. compiled: whether the network is."""
    match train.objective:
        case MaskedPrediction():
            return MaskedPredictionLoss(train, compiled)
