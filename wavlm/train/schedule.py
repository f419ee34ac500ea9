"""The learning rate schedule, and the fp16 loss scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from wavlm.errors import BadDataError
from wavlm.specs import TrainSpec

FIRST_LOSS_SCALE = 128.0  # fairseq's fp16-init-scale
SMALLEST_LOSS_SCALE = 1e-4  # fairseq's min-loss-scale
CLEAN_WINDOW_MICRO_BATCHES = 2**14  # micro-batches without overflow before the scale doubles


def learning_rate(done_updates: int, train: TrainSpec) -> float:
    """The learning rate of the update that follows `done_updates` finished ones.

    Linear warm-up from 0 to the peak, then linear decay to 0 at the last update (docs/algorithm.md section 10).
    As in fairseq the first update takes the rate of the second one: with rate 0 it would change nothing.
    """
    if done_updates < train.warmup_updates:
        return train.peak_lr * max(done_updates, 1) / train.warmup_updates
    left = train.updates - done_updates
    return train.peak_lr * left / max(1, train.updates - train.warmup_updates)


class Scaled(Protocol):
    """What a loss scale depends on: the spec of a training, or of a stage of fine-tuning."""

    @property
    def precision(self) -> str: ...

    @property
    def micro_batches_per_update(self) -> int: ...


@dataclass(frozen=True)
class LossScale:
    """The factor of the loss that keeps small fp16 gradients from vanishing; 1 in other precisions."""

    value: float
    clean_updates: int = 0  # since the last change of the value

    @classmethod
    def first(cls, train: Scaled) -> LossScale:
        """The scale of the first update."""
        return cls(FIRST_LOSS_SCALE if train.precision == "fp16" else 1.0)

    def after(self, train: Scaled, *, overflow: bool) -> LossScale:
        """The scale of the next update: halved after an overflow, doubled after a window without one.

        Raises BadDataError if the scale would fall below its floor: gradients that overflow at such a small scale
        have another cause.
        """
        if train.precision != "fp16":
            return self
        if overflow:
            return self._halve()
        window_updates = max(1, CLEAN_WINDOW_MICRO_BATCHES // train.micro_batches_per_update)
        if self.clean_updates + 1 < window_updates:
            return replace(self, clean_updates=self.clean_updates + 1)
        return LossScale(self.value * 2)

    def _halve(self) -> LossScale:
        if self.value / 2 < SMALLEST_LOSS_SCALE:
            raise BadDataError(
                "LOSS_SCALE_FLOOR",
                f"fp16 gradients overflow even at the smallest loss scale; at a scale of {self.value:g} (floor "
                f"{SMALLEST_LOSS_SCALE:g}); train in bf16 or fp32, or lower peak_lr",
            )
        return LossScale(self.value / 2)
