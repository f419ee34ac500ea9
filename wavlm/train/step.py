"""One update: forward and backward for each group, then one step of AdamW, or none at all."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wavlm.batches import Batch
from wavlm.epochs import Position
from wavlm.errors import BadDataError, UsageError
from wavlm.jobs import TrainJob
from wavlm.rng import seed_for
from wavlm.specs import TrainSpec
from wavlm.train.checkpoint import Training
from wavlm.train.objective import Sums, group_loss, group_sums, scale_and_clip
from wavlm.train.parallel import Ranks, gradients_stay_local
from wavlm.train.schedule import learning_rate
from wavlm.train.state import Progress

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Group:
    """What is remembered of a group until its update is known to be good."""

    keys: tuple[str, ...]
    after: Position
    sums: Tensor  # as of objective.Sums


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


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on the device."""
    return batch.to(device)


def update(
    job: TrainJob, ranks: Ranks, training: Training, batches: Iterator[Batch], progress: Progress
) -> Progress:
    """Do one update and return the progress after it.

    Raises BadDataError, on all ranks and before any weight is touched, if the loss or a gradient is
    not finite. Only fp16 gradients may overflow: the update is skipped and the loss scale halved.
    """
    train, began = job.train, time.monotonic()
    groups = _accumulate(job, ranks, training, batches, progress)
    sums = Sums.of(ranks.sum(torch.stack([group.sums for group in groups]).sum(0)))
    # Data-parallel backward left the mean over ranks of the scaled sum over groups.
    factor = ranks.world / progress.loss_scale.value / max(sums.masked_frames, 1.0)
    gradients = [p.grad for p in training.network.parameters() if p.grad is not None]
    grad_norm = scale_and_clip(gradients, factor, train.clip_norm)
    overflow = (
        train.precision == "fp16" and math.isfinite(sums.loss) and not math.isfinite(grad_norm)
    )
    if not overflow:
        _require_finite(groups, ranks, progress.update + 1, sums, grad_norm)
        _take_step(training.optimizer, learning_rate(progress.update, train))
    training.optimizer.zero_grad()
    seconds = time.monotonic() - began
    return progress.model_copy(
        update={
            "update": progress.update + 1,
            "position": groups[-1].after,
            "loss_scale": progress.loss_scale.after(train, overflow=overflow),
            "skipped_updates": progress.skipped_updates + overflow,
            "grad_norm": progress.grad_norm if overflow else grad_norm,
            "audio_seconds": progress.audio_seconds + sums.audio_seconds,
            "wall_seconds": progress.wall_seconds + seconds,
            "window": progress.window.plus(sums),
            "window_seconds": progress.window_seconds + seconds,
        }
    )


def _accumulate(
    job: TrainJob, ranks: Ranks, training: Training, batches: Iterator[Batch], progress: Progress
) -> list[Group]:
    """Forward and backward for this rank's groups of one update; ranks talk during the last one."""
    num_groups = job.train.groups_per_update // ranks.world
    groups = []
    for number in range(num_groups):
        batch = next(batches)
        is_last = number == num_groups - 1
        with nullcontext() if is_last else gradients_stay_local(training.module), _memory(job):
            sums = _forward_backward(job, training, on_device(batch, ranks.device), progress)
        groups.append(Group(batch.keys, batch.after, sums))
    return groups


def _forward_backward(
    job: TrainJob, training: Training, batch: Batch, progress: Progress
) -> Tensor:
    # Dropout and layer drop have torch's default generator: seeding it for each group makes them
    # independent of ranks and restarts.
    place = batch.position
    torch.manual_seed(seed_for(job.train.seed, "dropout", place.epoch, place.group))
    train = job.train
    with autocast(train, batch.waveforms.device):
        terms = training.module(
            batch,
            temperature=train.logit_temperature,
            with_unmasked=train.unmasked_weight > 0,
        )
        loss = group_loss(terms, train)
    torch.autograd.backward(loss * progress.loss_scale.value)
    return group_sums(loss, terms, batch)


def _take_step(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for parameters in optimizer.param_groups:
        parameters["lr"] = rate
    optimizer.step()


def _require_finite(
    groups: list[Group], ranks: Ranks, number: int, sums: Sums, grad_norm: float
) -> None:
    """All ranks know the same sums and norm, so they stop together."""
    if math.isfinite(sums.loss) and math.isfinite(grad_norm):
        return
    losses = [(group.sums[0].item(), group.keys) for group in groups]
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
def _memory(job: TrainJob) -> Iterator[None]:
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
