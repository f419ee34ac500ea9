"""What a resumed training sets right before it goes on: the curve, and what it is validated on."""

from __future__ import annotations

import logging
from pathlib import Path

from wavlm.engine import checkpoint
from wavlm.execution import metrics
from wavlm.execution.job import TrainJob
from wavlm.train.state import TrainingProgress

log = logging.getLogger(__name__)


def restore_curve(job: TrainJob, found: Path | None, update: int) -> None:
    """Make the curve what it was at the checkpoint; empty if there is none. The file itself may have been changed."""
    path = job.out / metrics.METRICS_FILE
    curve = checkpoint.read_curve(found) if found else ""
    metrics.restore(path, metrics.read_text(path, update) if curve is None else curve)


def note_mixtures(job: TrainJob, progress: TrainingProgress) -> TrainingProgress:
    """The progress, with the mixtures that this attempt validates on. They are no part of the model's key."""
    name = job.mixtures.name if job.mixtures else ""
    before = progress.validated_on
    if not name or before[-1:] == (name,):
        return progress
    if before:
        log.warning("up to update %d this was validated on %s, from now on %s", progress.update, before[-1], name)
    return progress.model_copy(update={"validated_on": (*before, name)})
