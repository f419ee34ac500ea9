"""The seed of one call's dropout, as an operator that compilers pass over."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor


def draw_seed(dropout: float) -> Tensor:
    """A seed (1,) int64 in 0..2^62 - 1 on the CPU, from torch's default CPU generator.

    Without dropout nothing is drawn and the value means nothing. Compiled and eager networks draw
    the same numbers: a compiler that saw the random operator itself would put a generator of its
    own in its place.
    """
    # Compilers merge equal calls, also of random operators that they do not know, but never two
    # uninitialised tensors. That it lies on the CPU says whose generator's state to bring back when
    # a layer is computed again for its activations.
    place = torch.empty(1, dtype=torch.int64, device="cpu")
    return cast("Tensor", seed_like(place)) if dropout > 0 else place


@torch.library.custom_op(
    "wavlm::seed_like",
    mutates_args=(),
    schema="(Tensor place) -> Tensor",
    tags=(torch.Tag.nondeterministic_seeded,),  # a tag alone is taken from torch 2.13 on
)
def seed_like(place: Tensor) -> Tensor:
    """A seed of the shape of `place`, whose values do not matter."""
    return torch.randint(1 << 62, place.shape, device="cpu")


@seed_like.register_fake
def _(place: Tensor) -> Tensor:
    return torch.empty_like(place)
