"""FSDP2: split weights, gradients and AdamW's moments over ranks, for networks of Large size and above.

Each rank keeps 1 / ranks of every tensor. The weights of a layer are gathered (all-gather, fp32) just before its
forward and its backward, and freed afterwards. Its gradient is averaged over ranks and split again
(reduce-scatter, fp32). The numbers are those of DDP except for the order of sums. All other parameters
belong to the root module and are gathered while the root's forward or backward runs.

Every rank calls every layer, also the ones it drops, so that all ranks run the same collectives.
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
    """Split a network over all ranks, in place; names stay. All ranks must have the same weights.

    Call it after activation checkpointing and compilation, whose forwards then see gathered weights,
    and before building the optimizer, whose moments get the shape of the parameters.
    """
    _register_outputs()
    mesh = init_device_mesh(device_type, (world,))
    for part in (*network.encoder.layers, network):
        # The root frees its gathered weights after forward too: between calls all memory is split.
        fully_shard(part, mesh=mesh, reshard_after_forward=True)


@cache
def _register_outputs() -> None:
    """Make the tensors in the root's output visible to FSDP2, which attaches its backward hooks to them.

    torch 2.13 looks into dataclasses by itself (pytorch #174692). torch 2.11 found no tensor there, did not
    gather the root's weights for backward, and read freed memory.
    """
    for kind in (FrameSums, LossTerms):
        torch.export.register_dataclass(kind)


def gather_whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor. If it is split over ranks, every rank must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def split_like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """This rank's part of a tensor that all ranks hold whole, split like the pattern; all of it if that is not."""
    if not isinstance(pattern, DTensor):
        return tensor
    mesh, placements = pattern.device_mesh, pattern.placements
    on_device = tensor.to(pattern.device)
    return distribute_tensor(on_device, mesh, placements, src_data_rank=None)  # None: nothing is sent


@contextmanager
def keep_whole(network: nn.Module) -> Iterator[None]:
    """A context in which forward needs no other rank, so that ranks may call it different numbers of times.

    Each rank holds all weights meanwhile: 4 bytes per parameter, without gradients and moments.
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
    """A context in which backward accumulates unsplit gradients on each rank: 4 bytes per parameter."""
    network.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        network.set_requires_gradient_sync(True)


def _fsdp_modules(network: nn.Module) -> list[FSDPModule]:
    return [module for module in network.modules() if isinstance(module, FSDPModule)]
