"""One update: forward and backward of each micro-batch, then one optimizer step, or none at all.

`update` runs in three parts:

1. `_accumulate_gradients`: forward and backward of this rank's micro-batches.
2. `_launch_optimizer_step`: sum what was counted over ranks, then launch AdamW with the summed gradients.
3. Read the sums on the host, check that they are finite, and return the new progress.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import reduce

import torch

from wavlm.engine.checkpoint import TrainingTensors
from wavlm.engine.memory import explain_out_of_memory
from wavlm.engine.named_numbers import NamedNumbers
from wavlm.engine.optimizer import clip_factor, take_step, total_norm
from wavlm.engine.ranks import Ranks
from wavlm.engine.wrap import keeps_gradients, skip_gradient_sync
from wavlm.errors import BadDataError
from wavlm.execution.job import TrainJob
from wavlm.loader.batch import Batch
from wavlm.loader.epochs import SamplerState
from wavlm.mixing.counts import MixingCounts
from wavlm.rng import seed_for
from wavlm.specs import TrainSpec
from wavlm.specs.shapes import BACKWARD_FACTOR, forward_flops
from wavlm.train.objective import Objective, Sums, add_sums, build_objective, count_collapsed_updates
from wavlm.train.schedule import learning_rate
from wavlm.train.state import TrainingProgress

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Requests:
    """What a rank wants all ranks to do after an update; summed over ranks: what any rank wants."""

    checkpoint: bool = False
    stop: bool = False


@dataclass(frozen=True)
class UpdateResult:
    """The progress after an update, and what any rank requested meanwhile."""

    progress: TrainingProgress
    requests: Requests


@dataclass(frozen=True)
class MicroBatchResult:
    """What is kept of a micro-batch until its update is known to be finite."""

    keys: tuple[str, ...]
    after: SamplerState
    sums: NamedNumbers
    wait_seconds: float  # that this rank waited for the batch
    mixing: MixingCounts  # what mixing and effects did to its utterances
    heard: tuple[int, ...]  # frames of each corpus and language in its update, on all ranks


@dataclass(frozen=True)
class UpdateTotals:
    """What the host reads of an update, summed over ranks; the norm is that of all ranks' gradients together."""

    sums: Sums
    requests: Requests
    grad_norm: float
    mixing: MixingCounts

    @classmethod
    def unpack(cls, numbers: Mapping[str, float], objective: Objective) -> UpdateTotals:
        """From the numbers that `_launch_optimizer_step` reads back."""
        requests = Requests(*(numbers[f"request_{name}"] > 0 for name in asdict(Requests())))
        return cls(objective.unpack(numbers), requests, numbers["grad_norm"], MixingCounts.from_numbers(numbers))

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.sums.loss) and math.isfinite(self.grad_norm)


def autocast(train: TrainSpec, device: torch.device) -> torch.autocast:
    """The context in which the network computes: in 16 bits where the precision says so."""
    dtype = AUTOCAST.get(train.precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def update(
    job: TrainJob,
    ranks: Ranks,
    training: TrainingTensors,
    batches: Iterator[Batch],
    progress: TrainingProgress,
    requests: Callable[[], Requests] = Requests,
) -> UpdateResult:
    """Do one update on the next batches of this rank, which are on its device.

    `requests` is called once the batches have been read. Its results travel to all ranks with the sums.

    Raises BadDataError on all ranks if the loss or a gradient is not finite; the weights stay as they were.
    Only fp16 gradients may overflow: then the update is skipped and the loss scale halved.
    """
    began = time.monotonic()
    objective = build_objective(job.train, compiled=job.runtime.compile, done_updates=progress.update)
    micro_batches = _accumulate_gradients(job, ranks, training, batches, progress, objective)
    counted = _pack_counts(micro_batches, requests())
    read = _launch_optimizer_step(job, ranks, training, progress, counted, objective)
    numbers = read()  # the only wait for the device in an update
    totals = UpdateTotals.unpack(numbers, objective)
    overflow = job.train.precision == "fp16" and math.isfinite(totals.sums.loss) and not totals.is_finite
    if not overflow and not totals.is_finite:
        raise _not_finite(micro_batches, ranks, progress.update + 1, totals)
    after = _advance(progress, job.train, micro_batches, totals, time.monotonic() - began, overflow=overflow)
    return UpdateResult(after, totals.requests)


def _accumulate_gradients(
    job: TrainJob,
    ranks: Ranks,
    training: TrainingTensors,
    batches: Iterator[Batch],
    progress: TrainingProgress,
    objective: Objective,
) -> list[MicroBatchResult]:
    """Forward and backward of this rank's micro-batches. Gradients are summed over ranks during the last one."""
    num_micro_batches = job.train.micro_batches_per_update // ranks.world
    results = []
    for number in range(num_micro_batches):
        is_last = number == num_micro_batches - 1
        gradient_sync = nullcontext() if is_last else skip_gradient_sync(training.module)
        with gradient_sync, explain_out_of_memory(*_describe_micro_batch(job)):
            began = time.monotonic()
            ranks.board.write(f"waits for micro-batch {number} of update {progress.update + 1}")
            batch = next(batches)
            waited = time.monotonic() - began
            ranks.board.write(f"computes micro-batch {number} of update {progress.update + 1}: {', '.join(batch.keys)}")
            sums = _forward_backward(job, training, batch, progress.loss_scale.value, objective)
        results.append(MicroBatchResult(batch.keys, batch.after, sums, waited, batch.mixing, batch.heard))
    return results


def _forward_backward(
    job: TrainJob, training: TrainingTensors, batch: Batch, loss_scale: float, objective: Objective
) -> NamedNumbers:
    """Add the gradients of one micro-batch's scaled loss to those of the parameters; returns its sums."""
    # Dropout and layer drop draw from torch's default generator. Seeding it for each micro-batch makes
    # the draws independent of the number of ranks and of restarts.
    state = batch.position
    torch.manual_seed(seed_for(job.train.seed, "dropout", state.epoch, state.group))
    with autocast(job.train, batch.waveforms.device):
        loss, sums = objective.compute(training.module, batch, _count_operations(job, batch) / 1e12)
    torch.autograd.backward(loss * loss_scale)
    return sums


def _count_operations(job: TrainJob, batch: Batch) -> float:
    """Operations of forward and backward for a micro-batch, counted from shapes."""
    crop_seconds = batch.seconds / len(batch.keys)
    return BACKWARD_FACTOR * forward_flops(job.network, crop_seconds) * batch.seconds


def _pack_counts(micro_batches: list[MicroBatchResult], requests: Requests) -> NamedNumbers:
    """This rank's sums over micro-batches and its requests, for one exchange with the other ranks."""
    sums = NamedNumbers.sum([micro_batch.sums for micro_batch in micro_batches])
    mixing = reduce(MixingCounts.plus, (micro_batch.mixing for micro_batch in micro_batches))
    flags = {f"request_{name}": float(is_wanted) for name, is_wanted in asdict(requests).items()}
    return sums.joined_with(NamedNumbers.pack(mixing.numbers | flags, sums.vector.device))


def _launch_optimizer_step(
    job: TrainJob,
    ranks: Ranks,
    training: TrainingTensors,
    progress: TrainingProgress,
    counted: NamedNumbers,
    objective: Objective,
) -> Callable[[], dict[str, float]]:
    """Launch the exchange of sums and the optimizer step; the host waits for neither.

    Returns a function that waits for the numbers that `UpdateTotals` names. They are known before the step ends.
    """
    train = job.train
    totals = counted.over_ranks(ranks)
    # Data-parallel backward left the mean over ranks of the scaled sum over micro-batches.
    factor = ranks.world / progress.loss_scale.value / objective.divisor(totals)
    gradients = [p.grad for p in training.network.parameters() if p.grad is not None]
    norm = total_norm(gradients) * factor
    read = totals.joined_with(NamedNumbers.pack({"grad_norm": norm}, norm.device)).start_read()
    take_step(
        training.optimizer,
        learning_rate(progress.update, train),
        factor * clip_factor(norm, train.clip_norm),
        totals["loss"].isfinite() & norm.isfinite(),
        keep=keeps_gradients(training.module),
    )
    return read


def _advance(
    progress: TrainingProgress,
    train: TrainSpec,
    micro_batches: list[MicroBatchResult],
    totals: UpdateTotals,
    seconds: float,
    *,
    overflow: bool,
) -> TrainingProgress:
    """The progress after an update that took `seconds`. overflow: no step was taken, for fp16's sake."""
    return progress.model_copy(
        update={
            "update": progress.update + 1,
            "position": micro_batches[-1].after,
            "loss_scale": progress.loss_scale.after(train, overflow=overflow),
            "skipped_updates": progress.skipped_updates + overflow,
            "grad_norm": progress.grad_norm if overflow else totals.grad_norm,
            "audio_seconds": progress.audio_seconds + totals.sums.audio_seconds,
            "mixing": progress.mixing.plus(totals.mixing),
            "heard": add_counts(progress.heard, micro_batches[-1].heard),
            "wall_seconds": progress.wall_seconds + seconds,
            "collapsed_updates": count_collapsed_updates(
                train, progress.collapsed_updates, progress.update + 1, totals.sums
            ),
            "window": add_sums(progress.window, totals.sums),
            "window_seconds": progress.window_seconds + seconds,
            "window_wait_seconds": progress.window_wait_seconds + sum(done.wait_seconds for done in micro_batches),
        }
    )


def add_counts(before: tuple[int, ...], more: tuple[int, ...]) -> tuple[int, ...]:
    """The sums of two rows of counts; an empty row counts nothing."""
    return tuple(a + b for a, b in zip(before, more, strict=True)) if before else more


def _not_finite(micro_batches: list[MicroBatchResult], ranks: Ranks, number: int, totals: UpdateTotals) -> BadDataError:
    """The error that names the utterances. All ranks read the same totals, so all of them gather and raise it."""
    losses = [(done.sums["loss"].item(), done.keys) for done in micro_batches]
    bad = [(loss, keys) for loss, keys in losses if not math.isfinite(loss)] or losses
    here = "; ".join(f"loss {loss:g} of {', '.join(keys)}" for loss, keys in bad)
    everywhere = "; ".join(ranks.gather(here))
    return BadDataError(
        "NOT_FINITE",
        f"update {number} has loss {totals.sums.mean_loss:g} and gradient norm "
        f"{totals.grad_norm:g}, expected finite ones; its batch: {everywhere}; weights are as before the "
        "update. Listen to these utterances; if they are sound, lower peak_lr or use fp32",
    )


def _describe_micro_batch(job: TrainJob) -> tuple[str, str]:
    """What there may be no memory for, and what to change."""
    return (
        f"a micro-batch of {job.train.group_seconds:g} seconds of audio in utterances of up to "
        f"{job.train.max_crop_seconds:g} seconds",
        "set runtime.checkpoint_activations, or lower group_seconds (this makes another model)",
    )
