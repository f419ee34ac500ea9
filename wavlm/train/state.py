"""How far a training is: everything but tensors that going on exactly needs.

No state of a random generator is among it: all draws come from seeds named after epoch and group.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from wavlm.loader.sampler import SamplerState
from wavlm.train.objective import Sums
from wavlm.train.schedule import LossScale


class TrainingProgress(BaseModel):
    """The state after `update` finished updates; written as JSON, read back to the same numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    update: int = 0
    position: SamplerState = SamplerState()  # of the next group to read
    loss_scale: LossScale
    skipped_updates: int = 0  # fp16 overflows so far
    grad_norm: float = 0.0  # of the last update, before clipping
    audio_seconds: float = 0.0  # trained on so far
    wall_seconds: float = 0.0  # spent on updates so far, restarts included
    reported_update: int = 0  # the last update whose line stands in the metrics
    window: Sums = Sums()  # since the last line with training figures
    window_seconds: float = 0.0  # spent on the updates of the window
    window_wait_seconds: float = 0.0  # of these, rank 0 waited for batches
