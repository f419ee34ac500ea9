"""The job file: the one argument of the trainer, with specs, paths and runtime settings as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

from wavlm.errors import UsageError
from wavlm.execution.runtime import Runtime
from wavlm.specs import MixSpec, NetworkSpec, TrainSpec
from wavlm.storage.files import read_json

J = TypeVar("J", bound=BaseModel)

TRAIN_LOCK = ".train.lock"  # in the folder that is trained into; held by rank 0


class LabelledShards(BaseModel):
    """The training data of one corpus: a shards folder and the folder of its labels, if the objective reads any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shards: Path
    labels: Path | None = None
    corpus: str = ""  # its name; empty: as the folder of its shards says, `<name>-<key>`

    @property
    def labels_there(self) -> Path:
        """The folder of labels. Raises ValueError if there is none."""
        if self.labels is None:
            raise ValueError(f"there are no labels, expected a folder of them; at {self.shards}")
        return self.labels


class StartWeights(BaseModel):
    """The weights that a training starts from: a model folder, and the sha256 of its `model.safetensors`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    sha256: str


class TrainJob(BaseModel):
    """Everything that `python -m wavlm.train` needs. It writes metrics, checkpoints and the model to `out`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str  # of the Model artifact; a checkpoint of another key is refused
    out: Path
    network: NetworkSpec
    train: TrainSpec
    num_clusters: int  # 0: there are no labels
    num_streams: int = 1  # labels per frame
    codebook: str = ""  # sha256 of the centroids that the labels come from
    data: tuple[LabelledShards, ...]
    mix: MixSpec | None = None
    noise: tuple[Path, ...] = ()
    rooms: tuple[Path, ...] = ()
    mixtures: Path | None = None
    start: StartWeights | None = None
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def _check_labels(self) -> TrainJob:
        """Labels are all there, or none is wanted: an objective that reads some never trains on none."""
        wants = self.train.quantizer is None
        found = [item.labels is not None for item in self.data]
        if wants != (self.num_clusters > 0) or any(there != wants for there in found):
            what = "labels for each of its shards, and clusters" if wants else "no labels and no clusters"
            raise ValueError(
                f"found {sum(found)} folders of labels for {len(found)} of shards, and {self.num_clusters} clusters; "
                f"the objective {self.train.objective.type} wants {what}"
            )
        return self


class JobPlace(BaseModel):
    """What those who start a trainer have to know of its job, whichever it is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    trainer: Literal["wavlm.train", "wavlm.finetune"] = "wavlm.train"  # the module that does it
    out: Path
    runtime: Runtime = Runtime()


def name_corpora(data: Sequence[LabelledShards]) -> tuple[str, ...]:
    """A name for each corpus, all different: its own, or the first part of its folder, its folder or its whole path."""
    folders = [item.shards.name for item in data]
    names = [item.corpus or folder.rpartition("-")[0] or folder for item, folder in zip(data, folders, strict=True)]
    choices = (names, folders, [str(item.shards) for item in data])
    return tuple(next((found for found in choices if len(set(found)) == len(found)), choices[-1]))


def read_job(path: Path) -> TrainJob:
    """Read and validate a job file of pre-training.

    Raises UsageError (JOB_FILE), naming file and field.
    """
    return read_job_as(TrainJob, path)


def read_place(path: Path) -> JobPlace:
    """What a job file of any trainer says to those who start it. Raises UsageError (JOB_FILE)."""
    return read_job_as(JobPlace, path)


def trainer_of(path: Path) -> str:
    """The module that does a job: pre-training, if the file cannot be read; then that module says what is wrong."""
    try:
        return read_place(path).trainer
    except UsageError:
        return "wavlm.train"


def read_job_as(form: type[J], path: Path) -> J:
    """Read and validate a job file of this form. Raises UsageError (JOB_FILE), naming file and field."""
    try:
        return form.model_validate(read_json(path), strict=False)
    except (OSError, ValueError) as error:
        what = " ".join(str(error).split())
        raise UsageError(
            "JOB_FILE", f"this is no job: {what}; at {path}; name a job.json that a run has written"
        ) from error
