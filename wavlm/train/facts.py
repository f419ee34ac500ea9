"""training.json: what a finished training reports. If it has the job's key and its digests fit, the model is complete.

Imports no torch, which takes seconds: a job that is already done is recognised at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict

from wavlm.errors import BadDataError
from wavlm.execution import metrics
from wavlm.execution.job import TrainJob
from wavlm.mixing.counts import MixingFacts
from wavlm.nn.description import NETWORK_FILE, WEIGHTS_FILE
from wavlm.storage.digested import read_digested
from wavlm.storage.facts import Facts
from wavlm.storage.seals import check_sealed
from wavlm.storage.summaries import FILES_FIELD, is_complete, write_summary

TRAINING_FILE = "training.json"
FILES = (WEIGHTS_FILE, NETWORK_FILE, metrics.METRICS_FILE)  # whose digests it holds


class TrainingFacts(Facts):
    """What a training did. Names with a slash, such as `valid/loss`, are last values of the training curve."""

    model_config = ConfigDict(frozen=True, extra="allow")

    key: str  # of the Model artifact
    updates: int
    epochs: int  # finished ones
    skipped_updates: int  # fp16 overflows
    audio_seconds: float  # trained on
    mixing: MixingFacts | None = None  # None: nothing is mixed
    wall_seconds: float  # spent on updates, restarts included
    parameters: int  # numbers in the network, head included
    processes: int  # ranks
    device: str  # "cpu" or "cuda"
    torch: str  # its version
    # Where the prediction head came from: drawn with all other weights, kept from the weights that training started
    # from, or fresh on top of them.
    head: Literal["random", "kept", "fresh"] = "random"
    # How the curve was measured. It is no part of a model's key, and the curve of a complete model stays as it is.
    valid_every: int = 0  # updates; 0: not recorded
    log_every: int = 0
    validated_on: tuple[str, ...] = ()  # folders of mixtures, in order; more than one if a restart got others
    copies_of_valid: int = 0  # utterances of train that were left out: their content is in a valid split

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric of the curve, by names such as `valid/loss`."""
        return {name: value for name, value in (self.model_extra or {}).items() if "/" in name}


def is_finished(job: TrainJob) -> bool:
    """Whether this job's model is in its folder, complete: the summary and the files that it names are as written.

    Raises OSError if a file cannot be read now, of which nobody knows whether it is as written.
    """
    return is_complete(job.out / TRAINING_FILE, job.key, "a training")


def write_training(job: TrainJob, facts: TrainingFacts) -> None:
    """Write the facts and the last value of each metric of the curve; call this after all other files are written.

    The digests of these files are in it, and its own.
    """
    last_values: metrics.MetricsRecord = {}
    for record in metrics.read(job.out / metrics.METRICS_FILE):
        last_values |= {name: value for name, value in record.items() if "/" in name}
    write_summary(job.out / TRAINING_FILE, {**last_values, **facts.model_dump(mode="json")}, FILES)


def read_training(model_dir: Path) -> TrainingFacts:
    """What a finished training wrote.

    Raises BadDataError: CHECKSUM if it is not the file that was sealed, RECORD_BROKEN if it is missing or broken.
    """
    path = model_dir / TRAINING_FILE
    check_sealed(path)
    try:
        content = read_digested(path).content
        content.pop(FILES_FIELD, None)
        return TrainingFacts.model_validate(content, strict=False)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError) as error:
        what = " ".join(str(error).split())
        raise BadDataError(
            "RECORD_BROKEN", f"the summary of a training cannot be read: {what}; at {path}; run again"
        ) from error
