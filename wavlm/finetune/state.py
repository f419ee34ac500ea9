"""The progress of a fine-tuning: everything but tensors that an exact resume needs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from wavlm.finetune.order import EpochPlace
from wavlm.train.schedule import LossScale


class DevPoint(BaseModel):
    """A score on the dev part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    update: int  # of the stage
    value: float | None  # higher is better; None: no number


class TuningProgress(BaseModel):
    """The state after `update` finished updates of a stage. Written as JSON, it is read back to the same numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: int = 0
    update: int = 0  # finished ones of the stage
    updates: int = 0  # finished ones of all stages
    place: EpochPlace = EpochPlace()  # of the next micro-batch
    loss_scale: LossScale
    points: tuple[DevPoint, ...] = ()  # of the stage
    chosen: tuple[int | None, ...] = ()  # of each finished stage, the update whose weights it left; None: a mean
    bests: tuple[float | None, ...] = ()  # of each finished stage, the best score on the dev part
    epochs: int = 0  # finished ones of the last finished stage
    skipped_updates: int = 0  # fp16 overflows so far
    grad_norm: float = 0.0  # of the last update, before clipping
    audio_seconds: float = 0.0  # trained on so far
    wall_seconds: float = 0.0
    reported: int = 0  # the last update, of all, that has a record
    window_loss: float = 0.0  # sums since the last record
    window_examples: float = 0.0
    window_seconds: float = 0.0
    window_audio: float = 0.0

    @property
    def best(self) -> DevPoint | None:
        """The best score of the stage so far, the earlier one if equal; None: none was a number."""
        known = [point for point in self.points if point.value is not None]
        return max(known, key=lambda point: (point.value or 0.0, -point.update), default=None)
