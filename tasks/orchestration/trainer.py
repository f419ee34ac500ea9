"""What the tasks that start a trainer share: one attempt at its job, and its failure as an error of ours."""

from __future__ import annotations

import logging
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from wavlm.errors import (
    EXIT_STOPPED,
    BadDataError,
    CannotWriteError,
    CodedError,
    LockedError,
    NoResourcesError,
    ServiceMissingError,
    StoppedError,
    UsageError,
    WorkerDiedError,
)
from wavlm.execution.exit_note import EXIT_NOTE_FILE, ExitNote
from wavlm.execution.job import TRAIN_LOCK
from wavlm.execution.launch import LOG, STOP_SECONDS, run_trainer
from wavlm.execution.runtime import Runtime
from wavlm.execution.supervisor import SIGNAL_EXIT
from wavlm.storage.files import write_json
from wavlm.storage.locks import wait_for_lock

LOG_TAIL_CHARACTERS = 2000
CACHE = ".cache"  # of the loader, in the folder that it trains into
_ERRORS: dict[int, type[CodedError]] = {
    cls.exit_code: cls
    for cls in (
        UsageError,
        BadDataError,
        ServiceMissingError,
        NoResourcesError,
        CannotWriteError,
        StoppedError,
        LockedError,
    )
}
OnRecord = Callable[[Mapping[str, JsonValue]], None]

_log = logging.getLogger(__name__)


class AnyJob(Protocol):
    """A job of a trainer, whichever it is."""

    @property
    def key(self) -> str: ...

    @property
    def out(self) -> Path: ...

    @property
    def runtime(self) -> Runtime: ...

    def model_dump(self, *, mode: str) -> dict[str, JsonValue]: ...


def run_job_here(job: AnyJob, on_record: OnRecord) -> None:
    """Run a trainer until its job is done. Raises its error, with the message that it left."""
    _wait_for_earlier(job)
    path = job.out / "job.json"
    write_json(path, job.model_dump(mode="json"))
    ending = run_trainer(path, job.runtime, on_record)
    if ending.exit_code:
        raise failure(ending, job.out)
    _remove_leftovers(job.out)


def _wait_for_earlier(job: AnyJob) -> None:
    """Wait for a trainer whose caller was killed: it saves a checkpoint, from which this attempt then goes on."""

    def report(owner: str, waited: float) -> None:
        if not waited:
            _log.info("an earlier attempt still saves its checkpoint: waiting for %s; in %s", owner, job.out)

    with wait_for_lock(job.out / TRAIN_LOCK, f"the model of {job.key}", STOP_SECONDS, report):
        pass


def _remove_leftovers(out: Path) -> None:
    """Remove what is not the model: locks, caches and the job, which names this machine's folders.

    What was trained, and from what, is spelled out in the record that seals the folder.
    """
    for path in (out / "job.json", *out.glob(f"{TRAIN_LOCK}*"), out / EXIT_NOTE_FILE):
        path.unlink(missing_ok=True)
    shutil.rmtree(out / CACHE, ignore_errors=True)


def failure(ending: ExitNote, out: Path) -> Exception:
    """The trainer's error as an exception of ours, with the message that it left."""
    if ending.exit_code in _ERRORS:
        name, _, text = ending.message.partition(": ")
        return _ERRORS[ending.exit_code](*((name, text) if text else _word_for(ending.exit_code, out)))
    if ending.exit_code > SIGNAL_EXIT:
        return WorkerDiedError(
            "WORKER_DIED",
            f"a training process was ended by {_name_signal(ending.exit_code - SIGNAL_EXIT)}, most often because the "
            f"machine had no memory left; see {out / LOG}; run again: it goes on from the last checkpoint",
        )
    return RuntimeError(f"the trainer ended with code {ending.exit_code}; the end of {out / LOG}:\n{_tail(out / LOG)}")


def _word_for(code: int, out: Path) -> tuple[str, str]:
    """Code and message for a trainer that left none, or whose message is lost."""
    if code == EXIT_STOPPED:
        return "STOPPED", f"stopped on request; at {out}; run the same command to go on"
    return "TRAINER_FAILED", f"the trainer ended with code {code}, and its message is lost; at {out}; see {out / LOG}"


def _tail(log_path: Path) -> str:
    try:
        return log_path.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
    except OSError as error:
        return f"it cannot be read: {error}"


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
