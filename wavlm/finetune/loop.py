"""The loop of fine-tuning: stage after stage, from the newest checkpoint, if there is one, to the finished system.

Read `tune` from top to bottom. `step` is one update, `scoring` a look at a part, `candidates` the weights that a stage
leaves, `finish` the look at the test part and the files.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

import torch
from pydantic import JsonValue

from wavlm.engine import checkpoint
from wavlm.engine.checkpoint import CheckpointState, TrainingTensors
from wavlm.engine.checkpoint_writer import CheckpointWriter
from wavlm.engine.interrupts import Watchdog, watchdog
from wavlm.engine.ranks import Ranks
from wavlm.errors import CodedError, HungError, StoppedError, UsageError
from wavlm.evaluation.tasks.task import Size
from wavlm.execution import metrics
from wavlm.execution.finetune_job import FinetuneJob
from wavlm.execution.stop import StopRequest
from wavlm.finetune.build import build_system, change_head, check_heads, find_size, open_network, prepare_stage
from wavlm.finetune.candidates import choose_weights, note_candidate
from wavlm.finetune.data import TrainingData
from wavlm.finetune.finish import score_system, write_system
from wavlm.finetune.order import EpochPlace
from wavlm.finetune.rates import rate_at
from wavlm.finetune.scoring import Look, LookStoppedError, score_dev
from wavlm.finetune.state import DevPoint, TuningProgress
from wavlm.finetune.step import StageRun, update
from wavlm.finetune.system import TunedSystem
from wavlm.specs.identity import canonical
from wavlm.train.schedule import LossScale

log = logging.getLogger(__name__)

CHECKPOINTS = "snapshots"  # the name of the folder on disk
SECONDS_BETWEEN_CHECKPOINTS = 300.0
LOG_EVERY = 20  # updates
LOADING_THREADS = 1


@dataclass(frozen=True)
class Tuning:
    """What stays the same from the first update to the last."""

    job: FinetuneJob
    data: TrainingData
    ranks: Ranks
    size: Size
    system: TunedSystem
    layer_drop: float  # of the network
    stop: StopRequest
    watchdog: Watchdog
    writer: CheckpointWriter

    @property
    def look(self) -> Look:
        """How parts are looked at."""
        return Look(self.data.load_plain, self.ranks, self.watchdog.feed, lambda: self.stop.requested)

    @property
    def fingerprint(self) -> dict[str, JsonValue]:
        """What a checkpoint must agree with. Ranks and threads are not in it: they only change rounding."""
        job = self.job
        head = {"head": job.head.sha256} if job.head else {}
        return {
            **head,
            "key": job.key,
            "spec": canonical(job.spec),
            "start": job.start.sha256 if job.start else canonical(job.spec.baseline),
            "data": self.data.fingerprint,
        }


def tune(
    job: FinetuneJob,
    ranks: Ranks,
    stop: StopRequest,
    say_why: Callable[[CodedError], None] = lambda error: log.error("%s", error),
) -> None:
    """Train to the last update of the last stage, score the test part once, and write the system.

    say_why: leaves the last words of a process that hangs.
    Raises StoppedError, after writing a checkpoint, if a stop was requested on any rank.
    """
    with (
        watchdog(on_hang=lambda after: say_why(_hung(job, ranks, after))) as dog,
        CheckpointWriter(job.out / CHECKPOINTS, job.runtime.keep_snapshots, ranks, (stop, dog)) as writer,
    ):
        tuning = _start(job, ranks, writer, stop, dog)
        run, progress = _resume(tuning)
        while progress.stage < len(job.spec.stages):
            progress = _run_stage(tuning, run, progress)
            run, progress = _end_stage(tuning, run, progress)
            _save_checkpoint(tuning, run, progress)
        writer.finish()
        try:
            tested = score_system(tuning.data, run, tuning.look)
        except LookStoppedError:
            _save_and_stop(tuning, run, progress)
        with dog.patient():
            ranks.once(partial(write_system, job, run, progress, tested))


def _start(job: FinetuneJob, ranks: Ranks, writer: CheckpointWriter, stop: StopRequest, dog: Watchdog) -> Tuning:
    """Read the data, check all that can be known of them, and build the system."""
    for number, stage in enumerate(job.spec.stages):
        if stage.micro_batches_per_update % ranks.world:
            count = stage.micro_batches_per_update
            possible = [str(divisor) for divisor in range(1, count + 1) if count % divisor == 0]
            raise UsageError(
                "RANKS",
                f"{count} micro-batches per update cannot be shared evenly by {ranks.world} processes; in stage "
                f"{number + 1} of {job.spec.name}; choose one of {', '.join(possible)} for runtime.gpus or "
                "runtime.processes",
            )
    network = open_network(job)
    data = TrainingData(job)
    size = find_size(job, network)
    trainee = data.trainee(0)
    data.check(trainee, size)
    check_heads([data.trainee(number) for number in range(len(job.spec.stages))], size)
    system = build_system(job, network, trainee, size, ranks.device, is_pooled=data.task.is_pooled)
    ranks.wait()  # one rank may take longer to open the data
    own = network.network.layer_drop if network is not None else 0.0
    return Tuning(job, data, ranks, size, system, own, stop, dog, writer)


def _prepare(tuning: Tuning, number: int) -> StageRun:
    """The system as a stage trains it, with a new optimizer. After the last stage: as that one."""
    number = min(number, len(tuning.job.spec.stages) - 1)
    stage, trainee = tuning.job.spec.stages[number], tuning.data.trainee(number)
    if number:
        change_head(tuning.system, trainee, tuning.size, tuning.ranks.device)
    optimizer = prepare_stage(tuning.system, stage, tuning.layer_drop)
    training = TrainingTensors(tuning.system, tuning.system, optimizer)
    return StageRun(
        number,
        stage,
        tuning.job.spec.seed,
        trainee,
        tuning.system,
        training,
        tuning.ranks,
        tuning.size,
        tuning.layer_drop,
    )


def _resume(tuning: Tuning) -> tuple[StageRun, TuningProgress]:
    """Go on from the newest undamaged checkpoint, if there is one; all ranks load the same one."""
    job, ranks, folder = tuning.job, tuning.ranks, tuning.job.out / CHECKPOINTS
    found = checkpoint.find_newest(folder, tuning.fingerprint) if ranks.leads else None
    name = ranks.gather(found.name if found else "")[0]
    if name:
        progress = TuningProgress.model_validate(checkpoint.read_progress(folder / name))
        run = _prepare(tuning, progress.stage)
        checkpoint.load(folder / name, run.training)
        log.info("going on after update %d of %d", progress.updates, _count_updates(job))
    else:
        progress = TuningProgress(loss_scale=LossScale.first(job.spec.stages[0]))
        run = _prepare(tuning, 0)
    if ranks.leads:
        path = job.out / metrics.METRICS_FILE
        metrics.restore(path, (checkpoint.read_curve(folder / name) or "") if name else "")
    ranks.wait()
    return run, progress


def _run_stage(tuning: Tuning, run: StageRun, progress: TuningProgress) -> TuningProgress:
    """Do all updates of a stage that are left. Report, save and stop between two of them, as due or requested.

    Raises StoppedError if a stop was requested on any rank.
    """
    ranks, threads = tuning.ranks, LOADING_THREADS if tuning.job.runtime.workers else 0
    of_rank = (ranks.rank, ranks.world)
    loaded = tuning.data.micro_batches(run.number, run.trainee, progress.place, of_rank, threads)
    saved_at, saves, stops = time.monotonic(), False, ranks.any(tuning.stop.requested)
    with closing(loaded) as batches:
        if progress.update:
            progress = _report(tuning, run, progress)  # the run before may have been stopped before it could
        while progress.update < run.spec.updates:
            if stops:
                _save_and_stop(tuning, run, progress)
            if saves:
                _save_checkpoint(tuning, run, progress)
                saved_at = time.monotonic()
            done = update(run, batches, progress, partial(_ask, tuning, progress.updates + 1, saved_at))
            tuning.watchdog.feed()
            progress, saves, stops = _report(tuning, run, done.progress), done.saves, done.stops
    return progress


def _ask(tuning: Tuning, number: int, saved_at: float) -> tuple[bool, bool]:
    """Whether this rank wants a checkpoint after update `number`, and whether it wants to stop.

    The clocks of ranks differ, so only rank 0 decides that a checkpoint is due.
    """
    every = tuning.job.runtime.snapshot_every
    is_due = number % every == 0 if every else time.monotonic() - saved_at >= SECONDS_BETWEEN_CHECKPOINTS
    return tuning.ranks.leads and is_due, tuning.stop.requested


def _end_stage(tuning: Tuning, run: StageRun, progress: TuningProgress) -> tuple[StageRun, TuningProgress]:
    """Take the weights that the stage leaves, and prepare the next one."""
    tuning.ranks.wait()  # rank 0 may still write the last candidate
    kept = choose_weights(run, progress, tuning.job.out)
    stages, number = tuning.job.spec.stages, progress.stage + 1
    best = progress.best.value if progress.best else None
    log.info("stage %d of %d is done, it leaves %s", number, len(stages), kept or "a mean of weights")
    after = progress.model_copy(
        update={
            "stage": number,
            "update": 0,
            "place": EpochPlace(),
            "loss_scale": LossScale.first(stages[min(number, len(stages) - 1)]),
            "points": (),
            "chosen": (*progress.chosen, kept),
            "bests": (*progress.bests, best),
            "epochs": progress.place.epoch,
        }
    )
    return _prepare(tuning, number), after


def _report(tuning: Tuning, run: StageRun, progress: TuningProgress) -> TuningProgress:
    """Score the dev part and write a record, if they are due after this update."""
    if progress.reported == progress.updates:
        return progress
    is_last = progress.update == run.spec.updates
    is_scored = is_last or progress.update % run.spec.dev_every == 0
    if not is_scored and progress.updates % LOG_EVERY:
        return progress
    record = _describe_window(run, progress)
    if is_scored:
        try:
            value, figures = score_dev(tuning.system, run.trainee, tuning.data.split.dev, tuning.look)
        except LookStoppedError:
            _save_and_stop(tuning, run, progress)  # the record is for the next run to write
        point = DevPoint(update=progress.update, value=value)
        progress = progress.model_copy(update={"points": (*progress.points, point)})
        record |= {f"dev/{name}": figure for name, figure in figures.items() if figure == figure}  # noqa: PLR0124 - NaN
        oldest = _oldest_checkpoint(tuning)
        tuning.ranks.once(lambda: note_candidate(run, progress, tuning.job.out, oldest))
    if tuning.ranks.leads:
        metrics.append(tuning.job.out / metrics.METRICS_FILE, {**record, "time_unix": time.time()})
        shown = "  ".join(f"{name} {value:.4g}" for name, value in record.items() if isinstance(value, float))
        log.info("update %d/%d  %s", progress.updates, _count_updates(tuning.job), shown)
    empty = dict.fromkeys(("window_loss", "window_examples", "window_seconds", "window_audio"), 0.0)
    return progress.model_copy(update={"reported": progress.updates, **empty})


def _describe_window(run: StageRun, progress: TuningProgress) -> metrics.MetricsRecord:
    """Training metrics over the updates since the last record."""
    return {
        "update": progress.updates,
        "epoch": progress.place.epoch,
        "stage": run.number + 1,
        "train/loss": progress.window_loss / max(1.0, progress.window_examples),
        "lr": rate_at(progress.update - 1, run.spec),
        "grad_norm": progress.grad_norm,
        "loss_scale": progress.loss_scale.value,
        "skipped_updates": progress.skipped_updates,
        "seconds_of_audio": progress.audio_seconds,
        "audio_seconds_per_second": progress.window_audio / max(progress.window_seconds, 1e-9),
    }


def _oldest_checkpoint(tuning: Tuning) -> int:
    """Updates, of all stages, from which a restart may begin: that many or more. Names count ends of stages, too."""
    found = checkpoint.list_checkpoints(tuning.job.out / CHECKPOINTS)
    return int(found[-1].name.rpartition("-")[2]) - len(tuning.job.spec.stages) if found else 0


def _save_checkpoint(tuning: Tuning, run: StageRun, progress: TuningProgress) -> None:
    """Copy the tensors and start to write them; every rank calls it after the same update."""
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    path = tuning.job.out / metrics.METRICS_FILE
    curve = metrics.read_text(path, progress.reported) if tuning.ranks.leads else ""
    number = progress.updates + progress.stage  # the end of a stage is another checkpoint than its last update
    state = CheckpointState(number, progress.model_dump(mode="json"), tuning.fingerprint, versions, curve)
    tuning.writer.save(run.training, state)


def _save_and_stop(tuning: Tuning, run: StageRun, progress: TuningProgress) -> NoReturn:
    """Raise StoppedError once a checkpoint is on the disk. Until then no rank leaves."""
    _save_checkpoint(tuning, run, progress)
    tuning.writer.finish()
    raise StoppedError(
        "STOPPED",
        f"stopped on request after update {progress.updates} of {_count_updates(tuning.job)}; a checkpoint is in "
        f"{tuning.job.out / CHECKPOINTS}; run the same command to go on",
    )


def _count_updates(job: FinetuneJob) -> int:
    return sum(stage.updates for stage in job.spec.stages)


def _hung(job: FinetuneJob, ranks: Ranks, seconds: float) -> HungError:
    doing = "; ".join(f"rank {rank}: {text or 'says nothing'}" for rank, text in enumerate(ranks.board.read()))
    return HungError(
        "HUNG",
        f"nothing went on for {seconds:.0f} s, seen by rank {ranks.rank} ({doing}); at {job.out}; run the same command "
        "again: it goes on from the last checkpoint",
    )
