"""The trainer's one argument: a JSON file that holds specs, paths and how to run."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from wavlm.execution.runtime import Runtime
from wavlm.specs import MixSpec, NetworkSpec, StartSpec, TrainSpec
from wavlm.storage.files import read_json


class LabelledShards(BaseModel):
    """One corpus to train on: a shards folder and the folder of its labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shards: Path
    labels: Path


class TrainJob(BaseModel):
    """Everything `python -m wavlm.train` needs. `out` receives metrics, checkpoints and the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str  # of the Model artifact; a checkpoint of another key is refused
    out: Path
    network: NetworkSpec
    train: TrainSpec
    num_clusters: int
    data: tuple[LabelledShards, ...]
    mix: MixSpec | None = None
    noise: tuple[Path, ...] = ()
    rooms: tuple[Path, ...] = ()
    mixtures: Path | None = None
    start: StartSpec | None = None
    runtime: Runtime = Runtime()


def read_job(path: Path) -> TrainJob:
    """Read and check a job file; raises ValueError that names the field and the file."""
    return TrainJob.model_validate(read_json(path), strict=False)
