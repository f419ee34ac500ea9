"""The loss of an update, and what is counted on the way to it (docs/algorithm.md section 9).

    L = (sum over ranks and groups of [CE_g + 10 pen_g S_g]) / (sum over ranks and groups of S_g)

CE_g is the cross entropy of group g summed over its masked frames, S_g their number and pen_g the
mean square of its conv features. The division is by the global count, after all gradients have been
summed: a mean of means would weigh frames by the company they keep.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import torch
from torch import Tensor

from wavlm.loader.batch import Batch
from wavlm.nn import LossTerms
from wavlm.specs import TrainSpec


@dataclass(frozen=True)
class Sums:
    """Sums over groups; all figures of a curve are quotients of these."""

    loss: float = 0.0  # the numerator of the loss: nats, penalty included
    penalty: float = 0.0  # pen_g S_g
    masked_loss: float = 0.0  # nats
    masked_frames: float = 0.0
    masked_correct: float = 0.0
    unmasked_loss: float = 0.0
    unmasked_frames: float = 0.0  # those whose prediction was asked for
    unmasked_correct: float = 0.0
    frames: float = 0.0
    audio_seconds: float = 0.0
    tera_operations: float = 0.0  # of forward and backward, counted from shapes; if it was counted

    @classmethod
    def of(cls, vector: Tensor) -> Sums:
        """From a vector that `micro_batch_sums` made, or a sum of such."""
        return cls(*vector.tolist())

    def plus(self, other: Sums) -> Sums:
        return Sums(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def metrics(self, prefix: str) -> dict[str, float]:
        """Means per masked frame and shares, under names like `train/loss`."""
        masked = max(self.masked_frames, 1.0)
        found = {
            "loss": self.loss / masked,
            "loss_bits": self.loss / masked / math.log(2),
            "masked_loss": self.masked_loss / masked,
            "masked_accuracy": self.masked_correct / masked,
            "feature_penalty": self.penalty / masked,  # not yet times its weight
        }
        if self.unmasked_frames:
            found["unmasked_loss"] = self.unmasked_loss / self.unmasked_frames
            found["unmasked_accuracy"] = self.unmasked_correct / self.unmasked_frames
        return {f"{prefix}/{name}": value for name, value in found.items()}


def micro_batch_loss(terms: LossTerms, train: TrainSpec) -> Tensor:
    """The numerator of one group, () in nats."""
    loss = train.masked_weight * terms.masked.loss
    loss = loss + train.feature_penalty * terms.feature_penalty * terms.masked.num_frames
    if terms.unmasked is not None and train.unmasked_weight:
        loss = loss + train.unmasked_weight * terms.unmasked.loss
    return loss


def micro_batch_sums(loss: Tensor, terms: LossTerms, batch: Batch, tera_operations: float = 0.0) -> Tensor:
    """The sums of one group as a float64 vector on the loss's device, in the order of `Sums`.

    What the host knows is filled in there: a copy from ordinary memory would wait for the device.
    """
    unmasked = terms.unmasked
    parts: Sequence[Tensor | float] = (
        loss.detach(),
        terms.feature_penalty.detach() * terms.masked.num_frames,
        terms.masked.loss.detach(),
        terms.masked.num_frames,
        terms.masked.num_correct,
        0.0 if unmasked is None else unmasked.loss.detach(),
        0.0 if unmasked is None else unmasked.num_frames,
        0.0 if unmasked is None else unmasked.num_correct,
        float(batch.labels.numel()),
        batch.seconds,
        tera_operations,
    )
    return torch.stack([to_scalar(part, loss.device) for part in parts])


def to_scalar(value: Tensor | float, device: torch.device) -> Tensor:
    """A number as a tensor () in fp64 on the device, with no need to wait for it."""
    if isinstance(value, Tensor):
        return value.double()
    return torch.full((), value, dtype=torch.float64, device=device)


def zero_sums(device: torch.device) -> Tensor:
    """The vector of zero groups."""
    return torch.zeros(len(fields(Sums)), dtype=torch.float64, device=device)


def named_sum(vector: Tensor, name: str) -> Tensor:
    """One of the sums of a vector that `micro_batch_sums` made, where the vector is."""
    return vector[[field.name for field in fields(Sums)].index(name)]
