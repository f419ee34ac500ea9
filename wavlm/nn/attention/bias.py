"""The compact form of the gated relative position bias."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PositionBias:
    """bias[b, h, i, j] = gate[b, h, i] * table[h, F - 1 + j - i], never materialised."""

    gate: Tensor  # (B, H, F)
    table: Tensor  # (H, 2F - 1)
