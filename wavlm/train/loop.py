"""The training run, from whatever was saved last to the finished model.

Read `train` from top to bottom; each line is a paragraph of its own file: `step` (one update),
`validation`, `checkpoint`, `metrics`, `parallel`.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import JsonValue

from wavlm.errors import StoppedError, UsageError
from wavlm.execution.job import TrainJob
from wavlm.loader.batch import Batch, PackedBatch
from wavlm.loader.sampler import SamplerState
from wavlm.nn import WavLM, save_model
from wavlm.nn.files import (
    WEIGHTS_FILE,
    ModelFileError,
    NetworkFile,
    network_from,
    read_weights,
)
from wavlm.rng import seed_for
from wavlm.specs.identity import canonical
from wavlm.storage.files import sha256_of
from wavlm.train import checkpoint, metrics, summary
from wavlm.train.checkpoint import CheckpointState, TrainingTensors
from wavlm.train.figures import find_due_records, format_line, train_metrics
from wavlm.train.interrupts import StopRequest, Watchdog, watchdog
from wavlm.train.metrics import METRICS
from wavlm.train.objective import Sums
from wavlm.train.prefetch import prefetch
from wavlm.train.ranks import Ranks
from wavlm.train.schedule import LossScale
from wavlm.train.sharding import gather_whole
from wavlm.train.snapshots import CheckpointWriter
from wavlm.train.state import TrainingProgress
from wavlm.train.step import adamw, update
from wavlm.train.validation import validate
from wavlm.train.wrap import distribute, prepare_network

log = logging.getLogger(__name__)

CHECKPOINTS = "snapshots"
SECONDS_BETWEEN_CHECKPOINTS = 300.0


@dataclass(frozen=True)
class Data:
    """Where batches come from. Each rank gets its own share."""

    train: Callable[[SamplerState], Iterator[PackedBatch]]  # without end, from a position on
    valid: Mapping[str, Callable[[], Iterator[PackedBatch]]]  # by prefix of the figures: valid, ...
    fingerprint: str  # of the order of batches and of all that is in them


@dataclass(frozen=True)
class Run:
    """What stays the same from the first update to the last."""

    job: TrainJob
    data: Data
    ranks: Ranks
    training: TrainingTensors
    network: WavLM
    stop: StopRequest
    watchdog: Watchdog
    writer: CheckpointWriter

    @property
    def fingerprint(self) -> dict[str, JsonValue]:
        """What a snapshot must agree with. Ranks and threads only change rounding."""
        job = self.job
        return {
            "key": job.key,
            "network": canonical(job.network),
            "train": canonical(job.train),
            "mix": canonical(job.mix),
            "num_clusters": job.num_clusters,
            "data": self.data.fingerprint,
        }


def train(job: TrainJob, data: Data, ranks: Ranks, stop: StopRequest) -> None:
    """Train to the last update, then write the model and a summary of the run.

    Raises StoppedError, after a snapshot, if a stop was requested on any rank.
    """
    with (
        watchdog(compiles=job.runtime.compile) as dog,
        _open_writer(job, ranks, stop, dog) as writer,
    ):
        run = _start(job, data, ranks, writer, (stop, dog))
        progress = _resume(run)
        with closing(prefetch(data.train(progress.position), ranks.device)) as batches:
            progress = _run_updates(run, progress, batches)
        _save(run, progress)
        _finish(run, progress)


def _run_updates(run: Run, progress: TrainingProgress, batches: Iterator[Batch]) -> TrainingProgress:
    """Do all updates that are left, with reports and snapshots when they are due."""
    job, ranks = run.job, run.ranks
    saved_at = time.monotonic()

    def requests() -> tuple[bool, bool]:
        # Clocks differ: ranks save and stop after the same update because one of them says so.
        is_due = _is_checkpoint_due(job, progress.update + 1, time.monotonic() - saved_at)
        return ranks.leads and is_due, run.stop.requested

    progress = _report(run, progress)  # the last run may have stopped before it could
    saves, stops = False, ranks.any(run.stop.requested)
    while progress.update < job.train.updates:
        if stops or _was_interrupted(job, progress):
            _stop(run, progress)
        if saves:
            _save(run, progress)
            saved_at = time.monotonic()
        done = update(job, ranks, run.training, batches, progress, requests)
        progress, (saves, stops) = done.progress, done.requests
        run.watchdog.feed()
        progress = _report(run, progress)
    if _was_interrupted(job, progress):
        _stop(run, progress)
    return progress


def _open_writer(job: TrainJob, ranks: Ranks, stop: StopRequest, dog: Watchdog) -> CheckpointWriter:
    return CheckpointWriter(job.out / CHECKPOINTS, job.runtime.keep_snapshots, ranks, (stop, dog))


def _start(
    job: TrainJob, data: Data, ranks: Ranks, writer: CheckpointWriter, interrupts: tuple[StopRequest, Watchdog]
) -> Run:
    if (groups := job.train.micro_batches_per_update) % ranks.world:
        possible = [str(count) for count in range(1, groups + 1) if groups % count == 0]
        raise UsageError(
            "RANKS",
            f"{groups} groups an update cannot be shared by {ranks.world} processes; possible "
            f"numbers of processes (runtime.gpus or runtime.processes): {', '.join(possible)}",
        )
    ranks.wait()  # reading what there is to train on may take one of them longer
    torch.manual_seed(seed_for(job.train.seed, "init"))
    network = _build_network(job).to(ranks.device)
    prepare_network(network, job.runtime)
    module = distribute(network, ranks, job.runtime)  # may split what the optimizer is given
    training = TrainingTensors(network, module, adamw(network, job.train))
    return Run(job, data, ranks, training, network, *interrupts, writer)


def _build_network(job: TrainJob) -> WavLM:
    """The network with random weights, or with those that the job starts from, head included.

    Raises ModelFileError if these are other bytes than the recipe says, or of another shape.
    """
    if job.start is None:
        return WavLM(job.network, job.num_clusters)
    path = Path(job.start.folder) / WEIGHTS_FILE
    content = NetworkFile(network=job.network, num_clusters=job.num_clusters)
    network = network_from(content, read_weights(path), where=path)
    if (found := sha256_of(path)) != job.start.sha256:
        raise ModelFileError(f"{path} has sha256 {found}, the recipe expects {job.start.sha256}")
    return network.train()


def _resume(run: Run) -> TrainingProgress:
    """Go on from the newest whole snapshot, if there is one; the same one on all ranks."""
    job, ranks, folder = run.job, run.ranks, run.job.out / CHECKPOINTS
    found = checkpoint.find_newest(folder, run.fingerprint) if ranks.leads else None
    name = ranks.gather(found.name if found else "")[0]
    if name:
        progress = TrainingProgress.model_validate(checkpoint.load(folder / name, run.training))
        log.info("going on after update %d of %d", progress.update, job.train.updates)
    else:
        progress = TrainingProgress(loss_scale=LossScale.first(job.train))
    if ranks.leads:
        metrics.drop_after(job.out / METRICS, progress.reported_update)
    ranks.wait()  # a large snapshot takes some ranks longer than a collective may
    return progress


def _report(run: Run, progress: TrainingProgress) -> TrainingProgress:
    """Write the line that is due after this update, if one is; validate for it if that is due too.

    A stop request during validation leaves the line for the next run to write.
    """
    done = progress.update
    logs, validates = find_due_records(run.job.train, done)
    if not (logs or validates) or done == progress.reported_update:
        return progress
    record: metrics.MetricsRecord = {"update": done, "epoch": progress.position.epoch}
    if logs:
        record |= train_metrics(run.job, progress)
    if validates:
        for prefix, batches in run.data.valid.items():
            interrupts = (run.stop, run.watchdog)
            values = validate(run.job, run.network, batches(), run.ranks, prefix, interrupts)
            if values is None:
                return progress
            record |= values
    if run.ranks.leads:
        metrics.append(run.job.out / METRICS, {**record, "time_unix": time.time()})
        log.info("%s", format_line(record, run.job.train.updates))
    empty = {"window": Sums(), "window_seconds": 0.0, "window_wait_seconds": 0.0}
    return progress.model_copy(update={"reported_update": done, **(empty if logs else {})})


def _was_interrupted(job: TrainJob, progress: TrainingProgress) -> bool:
    """Whether a stop request kept the line from being written that is due."""
    return any(find_due_records(job.train, progress.update)) and (progress.reported_update < progress.update)


def _is_checkpoint_due(job: TrainJob, update: int, seconds_since: float) -> bool:
    if job.runtime.snapshot_every:
        return update % job.runtime.snapshot_every == 0
    return seconds_since >= SECONDS_BETWEEN_CHECKPOINTS


def _save(run: Run, progress: TrainingProgress) -> None:
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    state = CheckpointState(progress.update, progress.model_dump(), run.fingerprint, versions)
    run.writer.save(run.training, state)


def _stop(run: Run, progress: TrainingProgress) -> None:
    """Save, wait until it is on the disk, and leave: torchrun ends all ranks when one leaves.

    A snapshot that could not be written stops the run too; what went wrong is then raised here.
    """
    _save(run, progress)
    run.writer.finish()
    raise StoppedError(
        "STOPPED",
        f"stopped on request after update {progress.update} of {run.job.train.updates}; a snapshot "
        f"is in {run.job.out / CHECKPOINTS}; run the same command to go on",
    )


def _finish(run: Run, progress: TrainingProgress) -> None:
    """The model, then the summary, whose presence says that the model is whole."""
    run.writer.finish()
    job, network = run.job, run.network
    weights = {name: gather_whole(tensor).cpu() for name, tensor in network.state_dict().items()}
    facts: dict[str, JsonValue] = {
        "key": job.key,
        "updates": progress.update,
        "epochs": progress.position.epoch,
        "skipped_updates": progress.skipped_updates,
        "audio_seconds": progress.audio_seconds,
        "wall_seconds": progress.wall_seconds,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "processes": run.ranks.world,
        "device": run.ranks.device.type,
        "torch": torch.__version__,
    }

    def write() -> None:
        content = NetworkFile(network=network.network, num_clusters=network.num_clusters)
        save_model(network_from(content, weights, where=job.out), job.out)
        summary.write(job, facts)

    with run.watchdog.patient():
        run.ranks.once(write)
