"""What training wraps around the network: torch.compile, activation checkpointing, DDP or FSDP2."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any

from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from wavlm.engine.ranks import Ranks
from wavlm.engine.regions import compile_regions, recompute_layers
from wavlm.engine.sharding import accumulate_unsplit, shard
from wavlm.execution.runtime import Runtime
from wavlm.nn import WavLM


def prepare_network(network: WavLM, runtime: Runtime, backend: str = "inductor") -> None:
    """Apply compilation and activation checkpointing as the runtime says, in place.

    Both keep the names of the parameters, so checkpoints are the same with and without them.
    backend: of torch.compile.
    """
    if runtime.compile:
        compile_regions(network, backend)
    if runtime.checkpoint_activations:
        recompute_layers(network)


def distribute(network: WavLM, ranks: Ranks, runtime: Runtime) -> nn.Module:
    """The module that training calls. Its backward averages gradients over ranks.

    With layer drop every parameter still gets a gradient (zero for a dropped layer), so DDP need not search for
    unused parameters. But the graph changes from update to update, so DDP must not treat it as static.
    Buffers are constants, so they are not sent.
    """
    if ranks.world == 1:
        return network
    if runtime.shard_parameters:
        shard(network, ranks.device.type, ranks.world)
        return network
    wanted = signature(DistributedDataParallel).parameters
    # torch renamed the argument; the new name comes first.
    name = next(n for n in ("forward_sync_buffers", "broadcast_buffers") if n in wanted)
    constant: dict[str, Any] = {name: False}
    return DistributedDataParallel(network, gradient_as_bucket_view=True, **constant)


def skip_gradient_sync(module: nn.Module) -> AbstractContextManager[None]:
    """A context in which backward accumulates gradients on this rank without exchanging them."""
    if isinstance(module, DistributedDataParallel):
        return module.no_sync()
    return accumulate_unsplit(module) if isinstance(module, FSDPModule) else nullcontext()


def keeps_gradients(module: nn.Module) -> bool:
    """Whether the memory of gradients must be kept between updates.

    With DDP gradients are views of its buckets; freed ones would have to be copied into the buckets again.
    On one rank and with FSDP2 it is better to free them: the first backward of an update then writes gradients
    instead of adding to zeros.
    """
    return isinstance(module, DistributedDataParallel)
