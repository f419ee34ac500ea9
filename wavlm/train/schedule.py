"""How large a step is: the learning rate over updates, and the fp16 loss scale."""

from __future__ import annotations

from dataclasses import dataclass, replace

from wavlm.errors import BadDataError
from wavlm.specs import TrainSpec

FIRST_LOSS_SCALE = 128.0  # fairseq's fp16-init-scale
SMALLEST_LOSS_SCALE = 1e-4  # fairseq's min-loss-scale
CLEAN_WINDOW_MICRO_BATCHES = 2**14  # groups without overflow before the scale doubles


def learning_rate(done_updates: int, train: TrainSpec) -> float:
    """The rate of the update that follows `done_updates` finished ones.

    A line from 0 up to the peak, then a line down to 0 at the last update (docs/algorithm.md 10).
    As in fairseq the very first update takes the rate of the second: at rate 0 it would be lost.
    """
    if done_updates < train.warmup_updates:
        return train.peak_lr * max(done_updates, 1) / train.warmup_updates
    left = train.updates - done_updates
    return train.peak_lr * left / max(1, train.updates - train.warmup_updates)


@dataclass(frozen=True)
class LossScale:
    """What the loss is multiplied with, so that small fp16 gradients do not vanish; 1 otherwise."""

    value: float
    clean_updates: int = 0  # since the last change of the value

    @classmethod
    def first(cls, train: TrainSpec) -> LossScale:
        return cls(FIRST_LOSS_SCALE if train.precision == "fp16" else 1.0)

    def after(self, train: TrainSpec, *, overflow: bool) -> LossScale:
        """The scale of the next update.

        Raises BadDataError once the scale would fall under the floor: gradients that overflow at
        any scale are not a matter of scale.
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
                f"fp16 gradients overflow even at a loss scale of {self.value:g} (floor "
                f"{SMALLEST_LOSS_SCALE:g}); train in bf16 or fp32, or lower peak_lr",
            )
        return LossScale(self.value / 2)
