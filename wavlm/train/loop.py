"""The training loop: from the newest checkpoint, if there is one, to the finished model.

Read `train` from top to bottom. Each of its steps has a file of its own: `step` (one update), `validation`,
`checkpoint` and `checkpoint_writer`, `reporting` (the training curve), `ranks` and `wrap` (several processes).
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

import torch
from pydantic import JsonValue
from torch import Tensor

from wavlm.engine import checkpoint
from wavlm.engine.checkpoint import CheckpointState, TrainingTensors
from wavlm.engine.checkpoint_writer import CheckpointWriter
from wavlm.engine.interrupts import Watchdog, watchdog
from wavlm.engine.optimizer import adamw
from wavlm.engine.ranks import Ranks
from wavlm.engine.sharding import gather_whole
from wavlm.engine.wrap import distribute, prepare_network
from wavlm.errors import CodedError, StoppedError, UsageError
from wavlm.execution import metrics
from wavlm.execution.job import TrainJob
from wavlm.execution.stop import StopRequest
from wavlm.loader.batch import Batch, PackedBatch
from wavlm.loader.epochs import SamplerState
from wavlm.nn import WavLM, save_model
from wavlm.nn.files import describe, network_from
from wavlm.rng import seed_for
from wavlm.specs.identity import canonical
from wavlm.train.facts import TrainingFacts, write_training
from wavlm.train.hang import hung
from wavlm.train.objective import no_sums
from wavlm.train.prefetch import prefetch
from wavlm.train.reporting import find_due_records, format_line, heard_metrics, train_metrics
from wavlm.train.resume import note_mixtures, restore_curve
from wavlm.train.schedule import LossScale
from wavlm.train.start import Head, build_network
from wavlm.train.state import TrainingProgress
from wavlm.train.step import Requests, update
from wavlm.train.validation import validate

log = logging.getLogger(__name__)

CHECKPOINTS = "snapshots"  # the name of the folder on disk
SECONDS_BETWEEN_CHECKPOINTS = 300.0


@dataclass(frozen=True)
class Data:
    """Where batches come from. Each rank gets batches of its own."""

    train: Callable[[SamplerState], Iterator[PackedBatch]]  # without end, from a sampler state on
    valid: Mapping[str, Callable[[], Iterator[PackedBatch]]]  # by prefix of the metrics: valid, ...
    fingerprint: str  # of the order of batches and of their content
    copies_of_valid: int = 0  # utterances of train that are left out
    valid_at_end: Mapping[str, Callable[[], Iterator[PackedBatch]]] = field(default_factory=dict)  # once, of a part
    heard: tuple[str, ...] = ()  # names of the corpora and languages whose frames batches count


@dataclass(frozen=True)
class Run:
    """What stays the same from the first update to the last."""

    job: TrainJob
    data: Data
    ranks: Ranks
    training: TrainingTensors
    network: WavLM
    head: Head  # where its head comes from
    stop: StopRequest
    watchdog: Watchdog
    writer: CheckpointWriter

    @property
    def fingerprint(self) -> dict[str, JsonValue]:
        """What a checkpoint must agree with. Ranks and threads are not in it: they only change rounding."""
        job = self.job
        return {
            "key": job.key,
            "network": canonical(job.network),
            "train": canonical(job.train),
            "mix": canonical(job.mix),
            "num_clusters": job.num_clusters,
            "data": self.data.fingerprint,
        }


def train(
    job: TrainJob,
    data: Data,
    ranks: Ranks,
    stop: StopRequest,
    say_why: Callable[[CodedError], None] = lambda error: log.error("%s", error),
) -> None:
    """Train to the last update, then write the model and training.json.

    say_why: leaves the last words of a process that hangs.
    Raises StoppedError, after writing a checkpoint, if a stop was requested on any rank.
    """
    with (
        watchdog(compiles=job.runtime.compile, on_hang=lambda after: say_why(hung(job, ranks, after))) as dog,
        CheckpointWriter(job.out / CHECKPOINTS, job.runtime.keep_snapshots, ranks, (stop, dog)) as writer,
    ):
        run = _start(job, data, ranks, writer, (stop, dog))
        progress = _resume(run)
        with closing(prefetch(data.train(progress.position), ranks.device)) as batches:
            progress = _run_updates(run, progress, batches)
        _save_checkpoint(run, progress)
        _finish(run, progress)


def _run_updates(run: Run, progress: TrainingProgress, batches: Iterator[Batch]) -> TrainingProgress:
    """Do all updates that are left. Report, save and stop between two of them, as due or requested.

    Raises StoppedError if a stop was requested on any rank.
    """
    saved_at = time.monotonic()
    progress = _report(run, progress)  # the run before may have been stopped before it could
    requests = Requests(stop=run.ranks.any(run.stop.requested))
    while progress.update < run.job.train.updates:
        if requests.stop or _is_report_missing(run.job, progress):
            _save_and_stop(run, progress)
        if requests.checkpoint:
            _save_checkpoint(run, progress)
            saved_at = time.monotonic()
        ask = partial(_requests_of_rank, run, progress.update + 1, saved_at)
        done = update(run.job, run.ranks, run.training, batches, progress, ask)
        run.watchdog.feed()
        progress, requests = _report(run, done.progress), done.requests
    if _is_report_missing(run.job, progress):
        _save_and_stop(run, progress)
    return progress


def _requests_of_rank(run: Run, number: int, saved_at: float) -> Requests:
    """What this rank wants after update `number`: a checkpoint if one is due, a stop if it got a signal.

    The clocks of ranks differ, so only rank 0 decides that a checkpoint is due. All ranks get its request with
    the sums of the update, and save after the same one.
    """
    is_due = _is_checkpoint_due(run.job, number, time.monotonic() - saved_at)
    return Requests(checkpoint=run.ranks.leads and is_due, stop=run.stop.requested)


def _is_checkpoint_due(job: TrainJob, number: int, seconds_since: float) -> bool:
    if job.runtime.snapshot_every:
        return number % job.runtime.snapshot_every == 0
    return seconds_since >= SECONDS_BETWEEN_CHECKPOINTS


def _start(
    job: TrainJob, data: Data, ranks: Ranks, writer: CheckpointWriter, interrupts: tuple[StopRequest, Watchdog]
) -> Run:
    """Build the network, distribute it over ranks, and give it an optimizer."""
    _require_even_split(job, ranks)
    ranks.wait()  # one rank may take longer to open the data
    torch.manual_seed(seed_for(job.train.seed, "init"))
    network, head = build_network(job)
    network = network.to(ranks.device)
    prepare_network(network, job.runtime)
    module = distribute(network, ranks, job.runtime)  # may split the parameters that the optimizer gets
    training = TrainingTensors(network, module, adamw(network, job.train))
    return Run(job, data, ranks, training, network, head, *interrupts, writer)


def _require_even_split(job: TrainJob, ranks: Ranks) -> None:
    """Raise UsageError unless every rank gets the same number of an update's micro-batches."""
    count = job.train.micro_batches_per_update
    if count % ranks.world == 0:
        return
    possible = [str(number) for number in range(1, count + 1) if count % number == 0]
    raise UsageError(
        "RANKS",
        f"{count} micro-batches per update cannot be shared evenly by {ranks.world} processes; "
        f"at runtime.gpus or runtime.processes; choose one of {', '.join(possible)}",
    )


def _resume(run: Run) -> TrainingProgress:
    """Go on from the newest undamaged checkpoint, if there is one; all ranks load the same one."""
    job, ranks, folder = run.job, run.ranks, run.job.out / CHECKPOINTS
    found = checkpoint.find_newest(folder, run.fingerprint) if ranks.leads else None
    name = ranks.gather(found.name if found else "")[0]
    if name:
        progress = TrainingProgress.model_validate(checkpoint.load(folder / name, run.training))
        log.info("going on after update %d of %d", progress.update, job.train.updates)
    else:
        progress = TrainingProgress(loss_scale=LossScale.first(job.train), window=no_sums(job.train))
    progress = note_mixtures(job, progress)
    if ranks.leads:
        restore_curve(job, folder / name if name else None, progress.reported_update)
    ranks.wait()  # with a large checkpoint some ranks need longer than a collective waits
    return progress


def _report(run: Run, progress: TrainingProgress) -> TrainingProgress:
    """Write the record that is due after this update, if one is. Validate first if that is due.

    A stop request during validation leaves the record for the next run to write.
    """
    done = progress.update
    logs, validates = find_due_records(run.job.train, done)
    if not (logs or validates) or done == progress.reported_update:
        return progress
    record: metrics.MetricsRecord = {"update": done, "epoch": progress.position.epoch}
    record |= train_metrics(run.job, progress) if logs else {}
    if validates:
        at_end = run.data.valid_at_end if done == run.job.train.updates else {}
        for prefix, batches in {**run.data.valid, **at_end}.items():
            values = validate(run.job, run.network, batches(), run.ranks, prefix, (run.stop, run.watchdog))
            if values is None:
                return progress
            record |= values
        record |= heard_metrics(run.job, run.data.heard, progress)
    if run.ranks.leads:
        metrics.append(run.job.out / metrics.METRICS_FILE, {**record, "time_unix": time.time()})
        log.info("%s", format_line(record, run.job.train.updates))
    empty = {"window": no_sums(run.job.train), "window_seconds": 0.0, "window_wait_seconds": 0.0}
    return progress.model_copy(update={"reported_update": done, **(empty if logs else {})})


def _is_report_missing(job: TrainJob, progress: TrainingProgress) -> bool:
    """Whether a record is due that `_report` did not write, because a stop was requested meanwhile."""
    return any(find_due_records(job.train, progress.update)) and (progress.reported_update < progress.update)


def _save_checkpoint(run: Run, progress: TrainingProgress) -> None:
    """Copy the tensors and start to write them; every rank calls it after the same update."""
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    path = run.job.out / metrics.METRICS_FILE
    curve = metrics.read_text(path, progress.reported_update) if run.ranks.leads else ""
    state = CheckpointState(progress.update, progress.model_dump(), run.fingerprint, versions, curve)
    run.writer.save(run.training, state)


def _save_and_stop(run: Run, progress: TrainingProgress) -> None:
    """Raise StoppedError once a checkpoint is on the disk. Until then no rank leaves: torchrun would end the others.

    A failed write of a checkpoint also ends in a stop request. Its error is then raised here instead.
    """
    _save_checkpoint(run, progress)
    run.writer.finish()
    raise StoppedError(
        "STOPPED",
        f"stopped on request after update {progress.update} of {run.job.train.updates}; a checkpoint "
        f"is in {run.job.out / CHECKPOINTS}; run the same command to go on",
    )


def _finish(run: Run, progress: TrainingProgress) -> None:
    """Write the model, then training.json, which says that the model is complete."""
    run.writer.finish()
    weights = {name: gather_whole(tensor).cpu() for name, tensor in run.network.state_dict().items()}
    facts = TrainingFacts(
        key=run.job.key,
        updates=progress.update,
        epochs=progress.position.epoch,
        skipped_updates=progress.skipped_updates,
        audio_seconds=progress.audio_seconds,
        mixing=progress.mixing.facts(effect.name for effect in run.job.mix.effects) if run.job.mix else None,
        wall_seconds=progress.wall_seconds,
        parameters=sum(parameter.numel() for parameter in run.network.parameters()),
        processes=run.ranks.world,
        device=run.ranks.device.type,
        torch=torch.__version__,
        head=run.head,
        valid_every=run.job.train.valid_every,
        log_every=run.job.train.log_every,
        validated_on=progress.validated_on,
        copies_of_valid=run.data.copies_of_valid,
    )
    with run.watchdog.patient():
        run.ranks.once(partial(_write_model, run, weights, facts))


def _write_model(run: Run, weights: Mapping[str, Tensor], facts: TrainingFacts) -> None:
    model = network_from(describe(run.network), weights, where=run.job.out)
    model.codebook = run.job.codebook
    save_model(model, run.job.out)
    write_training(run.job, facts)
