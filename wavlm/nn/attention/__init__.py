"""Attention with a gated relative position bias: one interface, several implementations.

    logits[b, h, i, j] = q_i . k_j / sqrt(d) + gate[b, h, i] * table[h, F - 1 + j - i]

The bias (B, H, F, F) is never built. It is kept as a table (H, 2F - 1) and a gate (B, H, F), so memory is linear in
F. `wavlm.nn.relative_position_bias` computes both.

- `rows`: blocks of rows in plain torch, on any device
- `flash`: tiles in Triton kernels, on CUDA (`kernels`, `tiles`, `tilings`)
- `dense`: with all matrices in memory, for tests

B utterances, H heads, F frames, d head size.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Protocol

import torch
from torch import Tensor

from wavlm.nn.attention import rows
from wavlm.nn.attention.bias import PositionBias as PositionBias


class Attention(Protocol):
    """softmax(logits) V with dropout on the softmax. Every implementation computes this function."""

    def __call__(
        self,
        heads: tuple[Tensor, Tensor, Tensor],
        bias: PositionBias | None,
        num_valid: Tensor | None,
        dropout: float,
    ) -> Tensor:
        """heads: queries, keys and values, (B, H, F, d) each -> (B, H, F, d).

        bias: None for attention without position bias.
        num_valid (B,): number of keys before the padding; None: no padding.
        dropout: the probability. Its seed is drawn from torch's default CPU generator.
        """


def default_attention() -> Attention:
    """The implementation to build a network with: `flash` if there are CUDA and Triton, otherwise `rows`.

    `flash` calls `rows` for what its kernels do not support (other devices, fp64).
    """
    if not torch.cuda.is_available() or find_spec("triton") is None:
        return rows.attend
    from wavlm.nn.attention import flash

    return flash.attend
