"""What a finished fine-tuning reports, and how a job that is already done is recognised. Imports no torch.

A system's folder holds `model.safetensors` and `network.json`, the network as any other model (not of a baseline),
`head.safetensors`, `head.json`, which says what the head is, `results.json` and `predictions.parquet` of the test part,
`metrics.jsonl`, and `finetune.json`, written last, with the digests of the others. `scoring.safetensors` is what scores
were learned from, such as a cohort of voices, where the task learns any.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from wavlm.errors import BadDataError
from wavlm.evaluation.results.facts import RESULTS_FILE, EvaluationFacts
from wavlm.execution.finetune_job import FinetuneJob
from wavlm.execution.metrics import METRICS_FILE
from wavlm.nn.description import NETWORK_FILE, WEIGHTS_FILE
from wavlm.specs.evaluation import BaselineSpec
from wavlm.specs.heads import HeadSpec
from wavlm.specs.tasks import TaskSpec
from wavlm.storage.digested import read_digested
from wavlm.storage.facts import Facts, read_facts
from wavlm.storage.files import write_json
from wavlm.storage.seals import check_sealed
from wavlm.storage.summaries import is_complete, write_summary

FINETUNE_FILE, HEAD_FILE, HEAD_WEIGHTS_FILE = "finetune.json", "head.json", "head.safetensors"
PREDICTIONS_FILE, SCORING_FILE = "predictions.parquet", "scoring.safetensors"
FILES = (
    *(WEIGHTS_FILE, NETWORK_FILE, HEAD_WEIGHTS_FILE, HEAD_FILE, SCORING_FILE),
    *(RESULTS_FILE, PREDICTIONS_FILE, METRICS_FILE),
)
FORMAT = 1


class HeadFile(Facts):
    """Content of `head.json`: everything needed to use the system, without its corpora."""

    format: int = FORMAT
    name: str  # of the system
    task: TaskSpec
    head: HeadSpec
    learned: JsonValue  # of the training part, as classes or symbols
    can_be_recalled: bool = True  # False: the task does not say how its heads are made without the training part
    baseline: BaselineSpec | None = None  # in place of a network
    num_states: int
    num_channels: int
    hop_samples: int


class StageFacts(Facts):
    """What a stage did."""

    updates: int
    kept: int | None  # the update whose weights it left; None: a mean
    dev: float | None  # the best score on the dev part, higher is better


class FinetuneFacts(Facts):
    """What a fine-tuning did, and what the system scores on the test part."""

    key: str  # of the Finetune artifact
    subject: str  # the model or baseline that it stands on, for people
    stages: tuple[StageFacts, ...]
    updates: int
    skipped_updates: int  # fp16 overflows
    epochs: int  # finished ones of the last stage
    audio_seconds: float  # trained on
    wall_seconds: float  # spent on updates, restarts included
    parameters: int  # numbers in network and head
    head_parameters: int
    processes: int  # ranks
    device: str
    torch: str  # its version
    results: EvaluationFacts


def is_tuned(job: FinetuneJob) -> bool:
    """Whether this job's system is in its folder, complete, as it was written.

    Raises OSError if a file cannot be read now, of which nobody knows whether it is as written.
    """
    return is_complete(job.out / FINETUNE_FILE, job.key, "a fine-tuning")


def write_finetune(out: Path, facts: FinetuneFacts) -> None:
    """Write the facts with the digests of all other files; call this after these were written."""
    write_summary(out / FINETUNE_FILE, facts.model_dump(mode="json"), FILES)


def read_finetune(folder: Path) -> FinetuneFacts:
    """What a finished fine-tuning wrote. Raises BadDataError: CHECKSUM, RECORD_BROKEN."""
    path = folder / FINETUNE_FILE
    check_sealed(path)
    try:
        return FinetuneFacts.model_validate(read_digested(path).content, strict=False)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError) as error:
        what = " ".join(str(error).split())
        raise BadDataError(
            "RECORD_BROKEN", f"the summary of a fine-tuning cannot be read: {what}; at {path}; run again"
        ) from error


def write_head(out: Path, head: HeadFile) -> None:
    """Write what the head is."""
    write_json(out / HEAD_FILE, head.model_dump(mode="json"))


def read_head_file(folder: Path) -> HeadFile:
    """What the head of a system's folder is. Raises BadDataError: CHECKSUM, RECORD_BROKEN."""
    return read_facts(folder / HEAD_FILE, HeadFile)
