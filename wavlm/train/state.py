"""The progress of a training: everything but tensors that an exact resume needs.

It holds no state of a random generator: every draw comes from a seed named after epoch and micro-batch.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from wavlm.loader.epochs import SamplerState
from wavlm.mixing.counts import MixingCounts
from wavlm.train.masked_prediction import MaskedPredictionSums
from wavlm.train.objective import Sums
from wavlm.train.schedule import LossScale


class TrainingProgress(BaseModel):
    """The state after `update` finished updates. Written as JSON, it is read back to the same numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    update: int = 0
    position: SamplerState = SamplerState()  # of the next micro-batch to read
    loss_scale: LossScale
    skipped_updates: int = 0  # fp16 overflows so far
    grad_norm: float = 0.0  # of the last update, before clipping
    audio_seconds: float = 0.0  # trained on so far
    mixing: MixingCounts = MixingCounts()  # what mixing and effects did to the utterances so far
    heard: tuple[int, ...] = ()  # frames trained on so far of each of `Groups.names`
    wall_seconds: float = 0.0  # spent on updates so far, restarts included
    validated_on: tuple[str, ...] = ()  # folders of the mixtures that it was validated on so far, in order
    reported_update: int = 0  # the last update that has a record in metrics.jsonl
    collapsed_updates: int = 0  # up to the last one, in a row; see `count_collapsed_updates`
    window: Sums = MaskedPredictionSums()  # since the last record with training metrics
    window_seconds: float = 0.0  # spent on the updates of the window
    window_wait_seconds: float = 0.0  # of window_seconds, what rank 0 waited for batches
