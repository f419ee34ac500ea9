"""The gated relative position bias as attention takes it: a gate and a table (`wavlm.nn.relative_position_bias`)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PositionBias:
    """bias[b, h, i, j] = gate[b, h, i] * table[h, F - 1 + j - i], which is never built."""

    gate: Tensor  # (B, H, F)
    table: Tensor  # (H, 2F - 1)
