"""FSDP2: weights, gradients and AdamW's moments split over ranks, for Large networks and up.

Each rank keeps 1 / ranks of every tensor. A layer is made whole (all-gather, fp32) just before its
forward and its backward and is let go after; its gradient is averaged over ranks and split again
(reduce-scatter, fp32). The numbers are those of DDP up to the order of sums. All other parameters
belong to the root and are whole while the root's forward or backward runs.

Every rank calls every layer, whichever it drops, so that all ranks meet in the same collectives.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from wavlm.nn import WavLM
from wavlm.nn.head import FrameSums, LossTerms


def shard(network: WavLM, device_type: str, world: int) -> None:
    """Split a network over all ranks, in place; names stay. Every rank must hold the same weights.

    Comes after checkpointing and compilation of the layers, whose forwards then see whole weights,
    and before the optimizer, whose moments take the shape of what it is given.
    """
    _register_outputs()
    mesh = init_device_mesh(device_type, (world,))
    for part in (*network.encoder.layers, network):
        # The root too lets its weights go after forward: between calls all that is kept is split.
        fully_shard(part, mesh=mesh, reshard_after_forward=True)


@cache
def _register_outputs() -> None:
    """Let FSDP2 see the tensors in what the root returns, where its hooks for backward hang.

    torch 2.13 looks into dataclasses by itself (pytorch #174692). 2.11 found no tensor, did not
    gather the root's weights for backward, and read freed memory.
    """
    for kind in (FrameSums, LossTerms):
        torch.export.register_dataclass(kind)


def gather_whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which this rank may hold a part; then every rank has to ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def split_like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """This rank's part of a whole tensor that all ranks have, split as the pattern is, if it is."""
    if not isinstance(pattern, DTensor):
        return tensor
    mesh, placements = pattern.device_mesh, pattern.placements
    on_device = tensor.to(pattern.device)
    return distribute_tensor(on_device, mesh, placements, src_data_rank=None)  # None: nothing is sent


@contextmanager
def keep_whole(network: nn.Module) -> Iterator[None]:
    """A context in which forward needs no other rank: ranks may differ in how often they run it.

    Each rank holds all weights meanwhile: 4 bytes a parameter, without gradients or moments.
    """
    parts = _fsdp_modules(network)
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(True, recurse=False)


@contextmanager
def accumulate_unsplit(network: FSDPModule) -> Iterator[None]:
    """A context in which backward adds gradients up whole on each rank, 4 bytes a parameter."""
    network.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        network.set_requires_gradient_sync(True)


def _fsdp_modules(network: nn.Module) -> list[FSDPModule]:
    return [module for module in network.modules() if isinstance(module, FSDPModule)]
