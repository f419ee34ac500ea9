"""How large the tiles of attention are: what the registers hold, as the compiler reports it.

A table, not a measurement at run time: another tiling adds in another order, and a resumed run must
equal one that was never interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

# The largest head whose tiles fit the registers; larger ones, and fp64, go through `rows`.
MAX_SIZE = {torch.float16: 128, torch.bfloat16: 128, torch.float32: 64}
HOPPER, BLACKWELL = 9, 10  # capabilities whose matrix products read shared memory on their own


@dataclass(frozen=True)
class Tile:
    """What one program computes at a time; edges are multiples of 32, a word of dropout."""

    queries: int
    keys: int  # 64 at most, two words
    warps: int
    stages: int = 2  # blocks of the inner loop in flight


@dataclass(frozen=True)
class Tiling:
    """Tiles of the forward, and of both backward kernels (square)."""

    forward: Tile
    backward: Tile


def tiling(dtype: torch.dtype, size: int, capability: int) -> Tiling:
    """Tiles for heads of `size` on a device of this compute capability (major).

    On Hopper and with heads of 64, which all WavLM and HuBERT have but the largest, the forward
    takes 200 registers and the backward 240 to 255, with next to no spilling; squares of 128 spill
    a kilobyte.
    """
    if dtype == torch.float32:
        return Tiling(Tile(32, 32, 4), Tile(32, 32, 4))
    is_small = size <= 64
    if capability in (HOPPER, BLACKWELL):
        return Tiling(Tile(128, 64, 8, 3 if is_small else 2), Tile(64, 64, 4 if is_small else 8))
    return Tiling(Tile(128, 64, 8) if is_small else Tile(64, 32, 4), Tile(32, 32, 4))
