"""Train one iteration's model: launch the trainer, show its curve, seal what it made."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from pydantic import JsonValue

from tasks.jobs import job_of
from tasks.orchestration.limits import GPU, hold_slot
from tasks.orchestration.progress_bar import ShowDetail, show_progress
from tasks.orchestration.stage import say_outcome, stage_task
from tasks.orchestration.trainer import OnRecord, failure, run_job_here
from tasks.orchestration.waiting import wait_out
from tasks.registry.following import feeding, follow_training
from tasks.registry.runs import Tracked
from wavlm.errors import EXIT_STOPPED, BadDataError, Code, LockedError
from wavlm.execution.exit_note import ExitNote, find_exit_note
from wavlm.execution.job import TrainJob
from wavlm.execution.launch import join_training
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Model
from wavlm.pipeline.outcome import title_of
from wavlm.pipeline.store import Store
from wavlm.train.facts import TrainingFacts, is_finished, read_training


@stage_task
def pretrain(artifact: Model, store: Store, runtime: Runtime, recipe: str = "") -> Path:
    """The model's folder; `recipe` is the name of the one that it is trained for.

    After a stop or a kill the next call continues from the last checkpoint.

    Raises StoppedError if the trainer was stopped; it has written a checkpoint by then.
    """

    peer = Peer(runtime)

    def build(out: Path) -> TrainingFacts:
        peer.refuse_failed(out)
        tracked = Tracked(artifact, recipe, runtime.experiment)
        slot = hold_slot(GPU) if runtime.gpus else nullcontext()
        with slot, _show_training(tracked, store, runtime) as on_record:
            return _train(job_of(artifact, store, runtime, out), on_record)

    def make() -> Path:
        try:
            return store.make(artifact, build)
        except LockedError:  # the head of the training is another machine, perhaps
            peer.join(store.partial_folder(artifact))
            raise

    folder = wait_out(make, runtime)
    say_outcome(artifact, store)
    return folder


class Peer:
    """A machine that runs the same recipe as the head of a training, and takes a place in it."""

    def __init__(self, runtime: Runtime) -> None:
        self._may_join = runtime.nodes > 1 and not runtime.starts_nodes
        self._failed: ExitNote | None = None

    def join(self, out: Path) -> None:
        """Train with the others until the attempt ends, if there is one with a place left."""
        if self._may_join and (ended := join_training(out)) is not None:
            self._failed = ended if ended.exit_code else None
            if ended.exit_code == EXIT_STOPPED and ended.message.startswith(f"{Code.STOPPED}:"):
                raise failure(ended, out)

    def refuse_failed(self, out: Path) -> None:
        """Raise what the training ended with that this machine was part of: it would fail here as well."""
        if self._failed is not None:
            raise failure(next(iter(find_exit_note(out)), self._failed), out)


def _train(job: TrainJob, on_record: OnRecord) -> TrainingFacts:
    run_job_here(job, on_record)
    facts = read_training(job.out)
    if not is_finished(job):
        raise BadDataError(
            "CHECKSUM",
            f"a file is not what the trainer wrote; at {job.out}; run again: the model is written again from its last "
            "checkpoint",
        )
    return facts


@contextmanager
def _show_training(tracked: Tracked, store: Store, runtime: Runtime) -> Iterator[OnRecord]:
    """Show each record, and pass it to MLflow. Neither delays training, also when MLflow is down."""
    artifact = tracked.model
    with ExitStack() as stack:
        progress, show_detail = stack.enter_context(show_progress(title_of(artifact)))
        feed = stack.enter_context(feeding(follow_training(tracked, store))) if runtime.tracking else None

        started = time.time()

        def on_record(record: Mapping[str, JsonValue]) -> None:
            # Those of an earlier attempt come at once, and say nothing about how long the rest takes.
            if _is_later(record, started):
                _show_record(record, artifact.train.updates, progress, show_detail)
            if feed:
                feed(record)

        progress(0, artifact.train.updates)
        yield on_record


def _is_later(record: Mapping[str, JsonValue], started: float) -> bool:
    written = record.get("time_unix")
    return not isinstance(written, float) or written >= started


def _show_record(record: Mapping[str, JsonValue], updates: int, progress: Progress, show_detail: ShowDetail) -> None:
    loss = record.get("train/loss")
    accuracy = record.get("train/masked_accuracy", record.get("train/contrast_accuracy"))
    if isinstance(loss, float) and isinstance(accuracy, float):
        show_detail(f"loss {loss:.3f}, masked accuracy {accuracy:.1%}")
    update = record["update"]
    progress(update if isinstance(update, int) else 0, updates)
