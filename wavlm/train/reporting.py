"""The records of the training curve: after which updates one is due, what it holds, how the log shows it."""

from __future__ import annotations

from wavlm.execution.job import TrainJob
from wavlm.execution.metrics import MetricsRecord
from wavlm.specs import TrainSpec
from wavlm.specs.frames import FrameGrid
from wavlm.train.schedule import learning_rate
from wavlm.train.state import TrainingProgress

LOGGED = (  # metrics that the log shows
    "train/loss",
    "train/masked_accuracy",
    "train/contrast_accuracy",
    "train/hard_perplexity",
    "lr",
    "grad_norm",
    "audio_seconds_per_second",
    "valid/loss",
    "valid/masked_accuracy",
    "valid/contrast_accuracy",
    "valid/hard_perplexity",
    "valid/majority",
    "valid_mixed/loss",
    "valid_mixed/masked_accuracy",
)


def find_due_records(train: TrainSpec, update: int) -> tuple[bool, bool]:
    """Whether training metrics, and whether validation metrics, are due after an update."""
    is_last = update == train.updates
    return is_last or update % train.log_every == 0, is_last or update % train.valid_every == 0


def train_metrics(job: TrainJob, progress: TrainingProgress) -> MetricsRecord:
    """Training metrics over the updates since the last record that had them."""
    window, seconds = progress.window, max(progress.window_seconds, 1e-9)
    return {
        **window.metrics("train"),
        "lr": learning_rate(progress.update - 1, job.train),  # of the update just done
        "grad_norm": progress.grad_norm,
        "masked_fraction": window.masked_fraction,
        "loss_scale": progress.loss_scale.value,
        "skipped_updates": progress.skipped_updates,
        "seconds_of_audio": progress.audio_seconds,
        "audio_seconds_per_second": window.audio_seconds / seconds,
        "train/tflops": window.tera_operations / seconds,
        "train/data_wait": progress.window_wait_seconds / seconds,
    }


def heard_metrics(job: TrainJob, names: tuple[str, ...], progress: TrainingProgress) -> MetricsRecord:
    """Seconds of audio trained on so far, of each corpus and language: whole frames, repeated ones too."""
    rate_hz = FrameGrid.of(job.network).rate_hz
    return {f"heard/{name}": frames / rate_hz for name, frames in zip(names, progress.heard, strict=False)}


def format_line(record: MetricsRecord, updates: int) -> str:
    """A line of the log: the metrics that a person watches while a network trains."""
    metrics = "  ".join(f"{name} {record[name]:.4g}" for name in LOGGED if name in record)
    return f"update {record['update']}/{updates}  {metrics}"
