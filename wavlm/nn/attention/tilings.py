"""The tile sizes of the attention kernels: what the registers can hold, as the compiler reports it.

They are a table, not measured at run time: another tiling sums in another order, and a resumed run must be equal
to one that was never interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

# The largest head size whose tiles fit into the registers. `rows` computes larger ones, and fp64.
MAX_SIZE = {torch.float16: 128, torch.bfloat16: 128, torch.float32: 64}
HOPPER, BLACKWELL = 9, 10  # compute capabilities whose matrix products read shared memory directly


@dataclass(frozen=True)
class Tile:
    """What one program computes at a time. Edges are multiples of 32, the bits of one word of dropout."""

    queries: int
    keys: int  # at most 64, two words
    warps: int
    stages: int = 2  # blocks of the inner loop in flight


@dataclass(frozen=True)
class Tiling:
    """Tiles of the forward kernel, and of both backward kernels (square)."""

    forward: Tile
    backward: Tile


def tiling(dtype: torch.dtype, size: int, capability: int) -> Tiling:
    """Tiles for heads of `size` on a device of this compute capability (major).

    Head size 64 is that of all WavLM and HuBERT networks but the largest. There, on Hopper, the forward takes 200
    registers and the backward 240 to 255, with almost no spilling. Squares of 128 would spill a kilobyte.
    """
    if dtype == torch.float32:
        return Tiling(Tile(32, 32, 4), Tile(32, 32, 4))
    is_small = size <= 64
    if capability in (HOPPER, BLACKWELL):
        return Tiling(Tile(128, 64, 8, 3 if is_small else 2), Tile(64, 64, 4 if is_small else 8))
    return Tiling(Tile(128, 64, 8) if is_small else Tile(64, 32, 4), Tile(32, 32, 4))
