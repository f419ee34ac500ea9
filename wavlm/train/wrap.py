"""Compilation, recomputation and data parallelism, applied to the network from the outside."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any

from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from wavlm.execution.runtime import Runtime
from wavlm.nn import WavLM
from wavlm.train.ranks import Ranks
from wavlm.train.regions import compile_regions, recompute_layers
from wavlm.train.sharding import accumulate_unsplit, shard


def prepare_network(network: WavLM, runtime: Runtime, backend: str = "inductor") -> None:
    """Apply compilation to the network's regions and checkpointing to its layers, in place.

    Both keep the names of the parameters as they are, so snapshots do not know of them. `backend`
    is torch.compile's.
    """
    if runtime.compile:
        compile_regions(network, backend)
    if runtime.checkpoint_activations:
        recompute_layers(network)


def distribute(network: WavLM, ranks: Ranks, runtime: Runtime) -> nn.Module:
    """The network as it is to be called, with its gradients averaged over ranks in backward.

    Layer drop leaves no parameter without a gradient (a dropped layer's is zero), so nothing has
    to be searched for unused parameters. The graph still changes from step to step, so DDP may not
    take it for static. Buffers are constants: there is nothing to send of them.
    """
    if ranks.world == 1:
        return network
    if runtime.shard_parameters:
        shard(network, ranks.device.type, ranks.world)
        return network
    wanted = signature(DistributedDataParallel).parameters
    name = next(n for n in ("forward_sync_buffers", "broadcast_buffers") if n in wanted)  # newer
    constant: dict[str, Any] = {name: False}
    return DistributedDataParallel(network, gradient_as_bucket_view=True, **constant)


def skip_gradient_sync(module: nn.Module) -> AbstractContextManager[None]:
    """A context in which backward adds gradients up without talking to other ranks about them."""
    if isinstance(module, DistributedDataParallel):
        return module.no_sync()
    return accumulate_unsplit(module) if isinstance(module, FSDPModule) else nullcontext()


def keeps_gradients(module: nn.Module) -> bool:
    """Whether gradients are parts of buckets that go on to be used: let go, they would be copied.

    Alone or split, memory is better given back, and the first backward of an update then writes
    gradients instead of adding to them.
    """
    return isinstance(module, DistributedDataParallel)
