"""The job file of fine-tuning: the one argument of `python -m wavlm.finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from wavlm.execution.job import StartWeights, read_job_as
from wavlm.execution.runtime import Runtime
from wavlm.specs.finetune import FinetuneSpec


class LabelledFolders(BaseModel):
    """The folders of a labelled corpus: what its recordings are, and their audio."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    corpus: Path
    shards: Path


class HeardFolders(BaseModel):
    """A corpus of which something beneath the system was trained on: all of it, or the parts that are named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str  # the model or system
    corpus: Path
    shards: Path | None = None  # where parts are named
    parts: tuple[str, ...] = ()


class FinetuneJob(BaseModel):
    """Everything that `python -m wavlm.finetune` needs. It writes metrics, checkpoints and the system to `out`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trainer: Literal["wavlm.finetune"] = "wavlm.finetune"
    key: str  # of the Finetune artifact; a checkpoint of another key is refused
    out: Path
    spec: FinetuneSpec
    start: StartWeights | None = None  # None: the spec's baseline
    head: StartWeights | None = None  # of the system that is gone on from, and its head; None: a fresh head
    subject_name: str = ""  # of the model, system or baseline, for people
    notes: tuple[str, ...] = ()  # what a reader of the figures has to know of it
    heard: tuple[HeardFolders, ...] = ()  # what it was trained on before, as far as that is known
    data: tuple[LabelledFolders, ...]
    noise: tuple[LabelledFolders, ...] = ()
    rooms: tuple[Path, ...] = ()
    runtime: Runtime = Runtime()


def read_finetune_job(path: Path) -> FinetuneJob:
    """Read and validate a job file of fine-tuning. Raises UsageError (JOB_FILE), naming file and field."""
    return read_job_as(FinetuneJob, path)
