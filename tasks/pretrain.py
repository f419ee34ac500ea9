"""Train one iteration's model: launch the trainer, show its curve, seal what it made."""

from __future__ import annotations

import logging
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.context import TaskRunContext
from prefect.exceptions import ObjectNotFound
from pydantic import JsonValue

from tasks.jobs import job_of
from tasks.orchestration.progress_bar import ShowDetail, show_progress
from tasks.registry.connection import Status, follow_training
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
from wavlm.execution.job import TRAIN_LOCK, TrainJob
from wavlm.execution.launch import LOG, STOP_SECONDS, run_trainer
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.execution.supervisor import SIGNAL_EXIT
from wavlm.pipeline.artifacts import Model
from wavlm.pipeline.store import Store
from wavlm.storage.files import write_json
from wavlm.storage.locks import wait_for_lock
from wavlm.train.facts import TrainingFacts, read_training

GPU_LIMIT = "gpu"
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
_log = logging.getLogger(__name__)
OnRecord = Callable[[Mapping[str, JsonValue]], None]


@task(cache_policy=NO_CACHE, task_run_name="{artifact}")
def pretrain(artifact: Model, store: Store, runtime: Runtime) -> Path:
    """The model's folder. After a stop or a kill the next call continues from the last checkpoint.

    Raises StoppedError if the trainer was stopped; it has written a checkpoint by then.
    """

    def build(out: Path) -> TrainingFacts:
        with _show_training(artifact, store, runtime) as on_record:
            return _train(job_of(artifact, store, runtime, out), on_record)

    with _gpus(runtime):
        return store.make(artifact, build)


def _train(job: TrainJob, on_record: OnRecord) -> TrainingFacts:
    _wait_for_earlier(job)
    path = job.out / "job.json"
    write_json(path, job.model_dump(mode="json"))
    ending = run_trainer(path, job.runtime, on_record)
    if ending.exit_code:
        raise _failure(ending, job.out)
    _remove_leftovers(job.out)
    return read_training(job.out)


def _wait_for_earlier(job: TrainJob) -> None:
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
    for name in ("job.json", TRAIN_LOCK, f"{TRAIN_LOCK}.owner", EXIT_NOTE_FILE):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / CACHE, ignore_errors=True)


def _failure(ending: ExitNote, out: Path) -> Exception:
    """The trainer's error as an exception of ours, with the message that it left."""
    name, _, text = ending.message.partition(": ")
    if text and ending.exit_code in _ERRORS:
        return _ERRORS[ending.exit_code](name, text)
    if ending.exit_code == EXIT_STOPPED:
        return StoppedError("STOPPED", f"stopped on request; at {out}; run the same command to go on")
    if ending.exit_code > SIGNAL_EXIT:
        return WorkerDiedError(
            "WORKER_DIED",
            f"a training process was ended by {_name_signal(ending.exit_code - SIGNAL_EXIT)}, most often because the "
            f"machine had no memory left; see {out / LOG}; run again: it goes on from the last checkpoint",
        )
    return RuntimeError(f"the trainer ended with code {ending.exit_code}; the end of {out / LOG}:\n{_tail(out / LOG)}")


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


@contextmanager
def _show_training(artifact: Model, store: Store, runtime: Runtime) -> Iterator[OnRecord]:
    """Show each record, and pass it to MLflow. Neither delays training, also when MLflow is down."""
    title = f"pretrain iteration {artifact.iteration}"
    with ExitStack() as stack:
        progress, show_detail = stack.enter_context(show_progress(title))
        feed = stack.enter_context(_track_training(artifact, store)) if runtime.tracking else None

        def on_record(record: Mapping[str, JsonValue]) -> None:
            _show_record(record, artifact.train.updates, progress, show_detail)
            if feed:
                feed(record)

        progress(0, artifact.train.updates)
        yield on_record


@contextmanager
def _track_training(artifact: Model, store: Store) -> Iterator[OnRecord]:
    follower = follow_training(artifact, store)
    status: Status = "KILLED"
    try:
        yield follower.feed
        status = "FINISHED"
    except StoppedError:
        raise
    except Exception:
        status = "FAILED"
        raise
    finally:
        follower.close(status)


def _show_record(record: Mapping[str, JsonValue], updates: int, progress: Progress, show_detail: ShowDetail) -> None:
    loss, accuracy = record.get("train/loss"), record.get("train/masked_accuracy")
    if isinstance(loss, float) and isinstance(accuracy, float):
        show_detail(f"loss {loss:.3f}, masked accuracy {accuracy:.1%}")
    update = record["update"]
    progress(update if isinstance(update, int) else 0, updates)


@contextmanager
def _gpus(runtime: Runtime) -> Iterator[None]:
    """Hold a slot of the server's limit named gpu, if we use GPUs and the server has that limit."""
    if not runtime.gpus or TaskRunContext.get() is None or not _is_limited():
        yield
        return
    # If the server is lost, training continues without its slot.
    with concurrency(GPU_LIMIT, strict=True, raise_on_lease_renewal_failure=False):
        yield


def _is_limited() -> bool:
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(GPU_LIMIT)
        except ObjectNotFound:
            return False
    return True
