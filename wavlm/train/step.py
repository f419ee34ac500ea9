"""One update: forward and backward for each group, then one step of AdamW, or none at all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from wavlm.errors import BadDataError, UsageError
from wavlm.execution.job import TrainJob
from wavlm.loader.batch import Batch
from wavlm.loader.sampler import SamplerState
from wavlm.rng import seed_for
from wavlm.specs import TrainSpec
from wavlm.specs.shapes import BACKWARD_FACTOR, forward_flops
from wavlm.train.checkpoint import TrainingTensors
from wavlm.train.objective import Sums, micro_batch_loss, micro_batch_sums, named_sum, to_scalar
from wavlm.train.optimizer import clip_factor, start_copy, take_step, total_norm
from wavlm.train.ranks import Ranks
from wavlm.train.schedule import learning_rate
from wavlm.train.state import TrainingProgress
from wavlm.train.wrap import keeps_gradients, skip_gradient_sync

NUM_SUMS = len(fields(Sums))
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class ForwardResult:
    """What is remembered of a group until its update is known to be good."""

    keys: tuple[str, ...]
    after: SamplerState
    sums: Tensor  # as of objective.Sums
    wait_seconds: float  # until it was read


def adamw(network: nn.Module, train: TrainSpec) -> torch.optim.AdamW:
    """Decoupled weight decay on all parameters, biases and norms included, as in fairseq."""
    return torch.optim.AdamW(
        network.parameters(),
        lr=train.peak_lr,
        betas=train.adam_betas,
        eps=train.adam_eps,
        weight_decay=train.weight_decay,
        fused=True,
    )


def autocast(train: TrainSpec, device: torch.device) -> torch.autocast:
    """The context in which the network computes."""
    dtype = AUTOCAST.get(train.precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


@dataclass(frozen=True)
class UpdateResult:
    """The progress after an update, and what ranks asked each other for meanwhile."""

    progress: TrainingProgress
    requests: list[bool]  # whether any rank had it, for each


def update(
    job: TrainJob,
    ranks: Ranks,
    training: TrainingTensors,
    batches: Iterator[Batch],
    progress: TrainingProgress,
    requests: Callable[[], Sequence[bool]] = tuple,
) -> UpdateResult:
    """Do one update on the next batches of this rank, which come on its device.

    `requests` of all ranks are asked for once the batches have been read.

    Raises BadDataError, on all ranks and with all weights as they were, if the loss or a gradient
    is not finite. Only fp16 gradients may overflow: the update is skipped, the loss scale halved.
    """
    train, began = job.train, time.monotonic()
    results = _accumulate(job, ranks, training, batches, progress)
    read = _launch_step(job, ranks, training, progress, _pack_sums(results, requests()))
    *numbers, grad_norm = read()
    sums, agreed = Sums(*numbers[:NUM_SUMS]), [count > 0 for count in numbers[NUM_SUMS:]]
    overflow = train.precision == "fp16" and math.isfinite(sums.loss) and not math.isfinite(grad_norm)
    if not overflow:
        _require_finite(results, ranks, progress.update + 1, sums, grad_norm)
    seconds = time.monotonic() - began
    after = progress.model_copy(
        update={
            "update": progress.update + 1,
            "position": results[-1].after,
            "loss_scale": progress.loss_scale.after(train, overflow=overflow),
            "skipped_updates": progress.skipped_updates + overflow,
            "grad_norm": progress.grad_norm if overflow else grad_norm,
            "audio_seconds": progress.audio_seconds + sums.audio_seconds,
            "wall_seconds": progress.wall_seconds + seconds,
            "window": progress.window.plus(sums),
            "window_seconds": progress.window_seconds + seconds,
            "window_wait_seconds": progress.window_wait_seconds + sum(result.wait_seconds for result in results),
        }
    )
    return UpdateResult(after, agreed)


def _accumulate(
    job: TrainJob, ranks: Ranks, training: TrainingTensors, batches: Iterator[Batch], progress: TrainingProgress
) -> list[ForwardResult]:
    """Forward and backward for this rank's groups of one update; ranks talk during the last one."""
    num_micro_batches = job.train.micro_batches_per_update // ranks.world
    results = []
    for number in range(num_micro_batches):
        is_last = number == num_micro_batches - 1
        with nullcontext() if is_last else skip_gradient_sync(training.module), _explain_out_of_memory(job):
            began = time.monotonic()
            batch = next(batches)
            waited = time.monotonic() - began
            sums = _forward_backward(job, training, batch, progress)
        results.append(ForwardResult(batch.keys, batch.after, sums, waited))
    return results


def _pack_sums(results: list[ForwardResult], requests: Sequence[bool]) -> Tensor:
    """This rank's sums, then its wishes, as one vector."""
    sums = torch.stack([result.sums for result in results]).sum(0)
    flags = [to_scalar(float(request), sums.device).unsqueeze(0) for request in requests]
    return torch.cat((sums, *flags))


def _launch_step(
    job: TrainJob, ranks: Ranks, training: TrainingTensors, progress: TrainingProgress, packed_sums: Tensor
) -> Callable[[], list[float]]:
    """Launch the step; what is returned waits for all that the host has to know of it.

    That is the one time in an update at which the host waits for the device: for what was asked,
    summed over ranks, and the norm of the gradients, both of which are known before the step ends.
    """
    train = job.train
    totals = ranks.sum(packed_sums)
    # Data-parallel backward left the mean over ranks of the scaled sum over groups.
    factor = ranks.world / progress.loss_scale.value / named_sum(totals, "masked_frames").clamp(min=1)
    gradients = [p.grad for p in training.network.parameters() if p.grad is not None]
    norm = total_norm(gradients) * factor
    read = start_copy(torch.cat((totals, norm.unsqueeze(0))))
    take_step(
        training.optimizer,
        learning_rate(progress.update, train),
        factor * clip_factor(norm, train.clip_norm),
        named_sum(totals, "loss").isfinite() & norm.isfinite(),
        keep=keeps_gradients(training.module),
    )
    return read


def _forward_backward(job: TrainJob, training: TrainingTensors, batch: Batch, progress: TrainingProgress) -> Tensor:
    # Dropout and layer drop have torch's default generator: seeding it for each group makes them
    # independent of ranks and restarts.
    state = batch.position
    torch.manual_seed(seed_for(job.train.seed, "dropout", state.epoch, state.group))
    train = job.train
    with autocast(train, batch.waveforms.device):
        terms = training.module(
            batch,
            temperature=train.logit_temperature,
            with_unmasked=train.unmasked_weight > 0,
            max_masked=max_masked(batch, compiled=job.runtime.compile),
        )
        loss = micro_batch_loss(terms, train)
    torch.autograd.backward(loss * progress.loss_scale.value)
    crop_seconds = batch.seconds / len(batch.keys)
    operations = BACKWARD_FACTOR * forward_flops(job.network, crop_seconds) * batch.seconds
    return micro_batch_sums(loss, terms, batch, operations / 1e12)


def max_masked(batch: Batch, *, compiled: bool) -> int:
    """For how many masked frames the prediction has room.

    Compiled, each number is a graph of its own: in eighths of all frames nearly all groups of a
    shape have the same, and a tenth of the rows is empty.
    """
    if not compiled:
        return batch.num_masked
    num_frames = batch.mask.numel()
    eighth = -(-num_frames // 8)
    return min(num_frames, -(-batch.num_masked // eighth) * eighth)


def _require_finite(results: list[ForwardResult], ranks: Ranks, number: int, sums: Sums, grad_norm: float) -> None:
    """All ranks know the same sums and norm, so they stop together."""
    if math.isfinite(sums.loss) and math.isfinite(grad_norm):
        return
    losses = [(result.sums[0].item(), result.keys) for result in results]
    bad = [found for found in losses if not math.isfinite(found[0])] or losses
    words = [f"loss {loss:g} of {', '.join(keys)}" for loss, keys in bad]
    everywhere = "; ".join(ranks.gather("; ".join(words)))
    raise BadDataError(
        "NOT_FINITE",
        f"update {number} has loss {sums.loss / max(sums.masked_frames, 1.0):g} and gradient norm "
        f"{grad_norm:g}, expected finite ones; its batch: {everywhere}; weights are as before the "
        "update. Listen to these utterances; if they are sound, lower peak_lr or use fp32",
    )


@contextmanager
def _explain_out_of_memory(job: TrainJob) -> Iterator[None]:
    """Say what to do when memory runs out; on the CPU that is a RuntimeError like any other."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "t allocate memory" not in str(error):
            raise
        raise UsageError(
            "OUT_OF_MEMORY",
            f"no memory for a group of {job.train.group_seconds:g} seconds of audio in utterances "
            f"of up to {job.train.max_crop_seconds:g}; set runtime.checkpoint_activations, or "
            f"lower group_seconds (another model then); torch says: {error}",
        ) from error
