"""The seed of the dropout of one attention call, as an operator that torch.compile does not look into."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor


def draw_seed(dropout: float) -> Tensor:
    """A seed (1,) int64 in 0..2^62 - 1 on the CPU, drawn from torch's default CPU generator.

    Without dropout nothing is drawn and the value is undefined. Compiled and eager networks draw the same numbers:
    a compiler that saw the random operator itself would replace it by a generator of its own.
    """
    # Compilers merge equal calls, also of random operators that they do not know, but never two uninitialised
    # tensors. The tensor is on the CPU, so activation checkpointing restores the CPU generator when it
    # computes a layer again.
    place = torch.empty(1, dtype=torch.int64, device="cpu")
    return cast("Tensor", seed_like(place)) if dropout > 0 else place


@torch.library.custom_op(
    "wavlm::seed_like",
    mutates_args=(),
    schema="(Tensor place) -> Tensor",
    tags=(torch.Tag.nondeterministic_seeded,),  # torch before 2.13 accepts only a tuple of tags
)
def seed_like(place: Tensor) -> Tensor:
    """A seed of the shape of `place`, whose values are not read."""
    return torch.randint(1 << 62, place.shape, device="cpu")


@seed_like.register_fake
def _(place: Tensor) -> Tensor:
    return torch.empty_like(place)
