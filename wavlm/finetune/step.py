"""One update of fine-tuning: forward and backward of each micro-batch, then one optimizer step, or none at all.

An update has a fixed number of micro-batches, which ranks share. The loss is the mean over their examples. Running
statistics of norms start from the same values in each micro-batch, and then move by the mean of all: so what ranks
compute together is what one computes alone, up to rounding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from wavlm.engine.checkpoint import TrainingTensors
from wavlm.engine.memory import explain_out_of_memory
from wavlm.engine.named_numbers import NamedNumbers
from wavlm.engine.optimizer import clip_factor, take_step, total_norm
from wavlm.engine.ranks import Ranks
from wavlm.errors import BadDataError
from wavlm.evaluation.tasks.task import Moment, Size, Trainee
from wavlm.finetune.data import Arrived
from wavlm.finetune.order import EpochPlace
from wavlm.finetune.rates import rate_at
from wavlm.finetune.state import TuningProgress
from wavlm.finetune.system import TunedSystem
from wavlm.rng import seed_for
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.stages import FinetuneStage

CHECKPOINT, STOP = "request_checkpoint", "request_stop"
LARGEST_BUCKET = 1 << 24  # numbers whose gradients are summed over ranks at once


@dataclass(frozen=True)
class StageRun:
    """What stays the same in the updates of a stage."""

    number: int
    spec: FinetuneStage
    seed: int
    trainee: Trainee
    system: TunedSystem
    training: TrainingTensors
    ranks: Ranks
    size: Size
    layer_drop: float  # of the network, whatever the stage has

    def trains_network(self, update: int) -> bool:
        """Whether any of the network is trained in the update that follows so many finished ones of the stage."""
        network = self.system.network
        if network is None or update < self.spec.frozen_updates:
            return False
        return any(parameter.requires_grad for parameter in network.parameters())

    def trained(self, update: int) -> list[nn.Parameter]:
        """The parameters that the next update changes."""
        every = self.system if self.trains_network(update) else self.system.head
        return [parameter for parameter in every.parameters() if parameter.requires_grad]

    def set_mode(self, update: int) -> None:
        """Training mode for what is trained: a frozen network drops nothing out."""
        self.system.train()
        if self.system.network is not None:
            self.system.network.train(self.trains_network(update))


@dataclass(frozen=True)
class TunedUpdate:
    """The progress after an update, and what any rank requested meanwhile."""

    progress: TuningProgress
    saves: bool
    stops: bool


@dataclass(frozen=True)
class _Micro:
    """What is kept of a micro-batch until its update is known to be finite."""

    keys: tuple[str, ...]
    after: EpochPlace
    sums: NamedNumbers


def update(
    run: StageRun, batches: Iterator[Arrived], progress: TuningProgress, ask: Callable[[], tuple[bool, bool]]
) -> TunedUpdate:
    """Do one update on the next micro-batches of this rank.

    ask: whether this rank wants a checkpoint, and whether it wants to stop; called once the batches were read.
    Raises BadDataError on all ranks if the loss or a gradient is not finite; the weights stay as they were.
    """
    began = time.monotonic()
    run.set_mode(progress.update)
    micros, statistics = _accumulate(run, batches, progress)
    saves, stops = ask()
    sums = NamedNumbers.sum([micro.sums for micro in micros])
    asked = NamedNumbers.pack({CHECKPOINT: float(saves), STOP: float(stops)}, sums.vector.device)
    totals = sums.joined_with(asked).over_ranks(run.ranks)
    parameters = run.trained(progress.update)
    _sum_gradients(parameters, run.ranks)
    factor = 1 / progress.loss_scale.value / totals["examples"]
    norm = total_norm([parameter.grad for parameter in parameters if parameter.grad is not None]) * factor
    is_finite = totals["loss"].isfinite() & norm.isfinite()
    take_step(
        run.training.optimizer,
        rate_at(progress.update, run.spec),
        factor * clip_factor(norm, run.spec.clip_norm),
        is_finite,
        keep=False,
    )
    numbers = totals.joined_with(NamedNumbers.pack({"grad_norm": norm}, norm.device)).start_read()()
    finite = math.isfinite(numbers["loss"]) and math.isfinite(numbers["grad_norm"])
    overflow = run.spec.precision == "fp16" and math.isfinite(numbers["loss"]) and not finite
    if not finite and not overflow:
        raise _not_finite(run, micros, progress, numbers)
    if finite:
        _move_statistics(run, statistics)
    after = _advance(run, progress, micros, numbers, time.monotonic() - began, overflow=overflow)
    return TunedUpdate(after, numbers[CHECKPOINT] > 0, numbers[STOP] > 0)


def _accumulate(
    run: StageRun, batches: Iterator[Arrived], progress: TuningProgress
) -> tuple[list[_Micro], dict[str, Tensor]]:
    """Forward and backward of this rank's micro-batches; also the sums of the running statistics that they left."""
    buffers, statistics = dict(run.system.head.named_buffers()), _statistics_of(run.system)
    before = {name: value.clone() for name, value in buffers.items()}
    found = {name: torch.zeros_like(value) for name, value in statistics.items()}
    micros = []
    for number in range(run.spec.micro_batches_per_update // run.ranks.world):
        run.ranks.board.write(f"waits for micro-batch {number} of update {progress.updates + 1}")
        arrived = next(batches)
        keys = tuple(item.key for item in arrived.heard.examples)
        run.ranks.board.write(f"computes micro-batch {number} of update {progress.updates + 1}: {', '.join(keys)}")
        with explain_out_of_memory(*_describe_micro_batch(run)):
            sums = _forward_backward(run, arrived, progress)
        micros.append(_Micro(keys, arrived.after, sums))
        for name, value in statistics.items():
            found[name] += value
        for name, value in buffers.items():
            value.copy_(before[name])
    return micros, found


def _describe_micro_batch(run: StageRun) -> tuple[str, str]:
    """What there may be no memory for, and what to change."""
    return (
        f"a micro-batch of {run.spec.group_seconds:g} seconds of audio in stage {run.number + 1}",
        "lower its group_seconds or crop_seconds (this makes another system)",
    )


def _forward_backward(run: StageRun, arrived: Arrived, progress: TuningProgress) -> NamedNumbers:
    """Add the gradients of one micro-batch's summed loss to those of the parameters; returns its sums."""
    heard = arrived.heard.to(run.ranks.device)
    seed = heard.moment.seed if heard.moment else 0
    heard = replace(heard, moment=Moment(progress.update, run.spec.updates, seed))
    torch.manual_seed(seed_for(seed, "dropout"))
    trains = run.trains_network(progress.update)
    loss = run.system.loss(run.trainee, heard, run.spec, trains_network=trains) * len(heard.examples)
    torch.autograd.backward(loss * progress.loss_scale.value)
    seconds = float(heard.num_samples.sum()) / SAMPLE_RATE_HZ
    numbers: dict[str, Tensor | float] = {
        "loss": loss.detach(),
        "examples": float(len(heard.examples)),
        "audio": seconds,
    }
    return NamedNumbers.pack(numbers, loss.device)


def _statistics_of(system: TunedSystem) -> dict[str, Tensor]:
    """The running statistics of the head's norms. The network has none."""
    return {name: value for name, value in system.head.named_buffers() if value.is_floating_point()}


@torch.no_grad()
def _move_statistics(run: StageRun, sums: Mapping[str, Tensor]) -> None:
    """Set the running statistics to the mean of what all micro-batches left."""
    for name, value in _statistics_of(run.system).items():
        value.copy_(run.ranks.sum(sums[name]) / run.spec.micro_batches_per_update)


@torch.no_grad()
def _sum_gradients(parameters: list[nn.Parameter], ranks: Ranks) -> None:
    """Sum the gradients over ranks. A parameter that no micro-batch used has zeros, on any number of ranks."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    if ranks.world == 1:
        return
    bucket: list[Tensor] = []
    for parameter in parameters:
        assert parameter.grad is not None  # noqa: S101 - made above
        bucket.append(parameter.grad)
        if sum(item.numel() for item in bucket) >= LARGEST_BUCKET:
            _sum_bucket(bucket, ranks)
            bucket = []
    if bucket:
        _sum_bucket(bucket, ranks)


def _sum_bucket(bucket: list[Tensor], ranks: Ranks) -> None:
    total = ranks.sum(torch.cat([item.flatten() for item in bucket]))
    for item, part in zip(bucket, torch.split(total, [item.numel() for item in bucket]), strict=True):
        item.copy_(part.view_as(item))


def _advance(
    run: StageRun,
    progress: TuningProgress,
    micros: list[_Micro],
    numbers: Mapping[str, float],
    seconds: float,
    *,
    overflow: bool,
) -> TuningProgress:
    return progress.model_copy(
        update={
            "update": progress.update + 1,
            "updates": progress.updates + 1,
            "place": micros[-1].after,
            "loss_scale": progress.loss_scale.after(run.spec, overflow=overflow),
            "skipped_updates": progress.skipped_updates + overflow,
            "grad_norm": progress.grad_norm if overflow else numbers["grad_norm"],
            "audio_seconds": progress.audio_seconds + numbers["audio"],
            "wall_seconds": progress.wall_seconds + seconds,
            "window_loss": progress.window_loss + numbers["loss"],
            "window_examples": progress.window_examples + numbers["examples"],
            "window_seconds": progress.window_seconds + seconds,
            "window_audio": progress.window_audio + numbers["audio"],
        }
    )


def _not_finite(
    run: StageRun, micros: list[_Micro], progress: TuningProgress, numbers: Mapping[str, float]
) -> BadDataError:
    """The error that names the examples. All ranks read the same totals, so all of them gather and raise it."""
    losses = [(micro.sums["loss"].item(), micro.keys) for micro in micros]
    bad = [(loss, keys) for loss, keys in losses if not math.isfinite(loss)] or losses
    here = "; ".join(f"loss {loss:g} of {', '.join(keys)}" for loss, keys in bad)
    everywhere = "; ".join(run.ranks.gather(here))
    return BadDataError(
        "NOT_FINITE",
        f"update {progress.updates + 1} has loss {numbers['loss'] / numbers['examples']:g} and gradient norm "
        f"{numbers['grad_norm']:g}, expected finite ones; its batch: {everywhere}; weights are as before the update. "
        "Listen to these recordings; if they are sound, lower peak_lr or use fp32",
    )
