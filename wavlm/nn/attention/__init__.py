"""Attention with a gated relative position bias, behind one interface.

    logits[b, h, i, j] = q_i . k_j / sqrt(d) + gate[b, h, i] * table[h, F - 1 + j - i]

The bias is never materialised: it is kept as a table (H, 2F - 1) and a gate (B, H, F), so memory is
linear in F. B utterances, H heads, F frames, d head size.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Protocol

import torch
from torch import Tensor

from wavlm.nn.attention import rows
from wavlm.nn.attention.bias import PositionBias as PositionBias


class Attention(Protocol):
    """softmax(logits) V with dropout on the softmax; every implementation computes the same."""

    def __call__(
        self,
        heads: tuple[Tensor, Tensor, Tensor],
        bias: PositionBias | None,
        num_valid: Tensor | None,
        dropout: float,
    ) -> Tensor:
        """Queries, keys, values (B, H, F, d) each -> (B, H, F, d).

        num_valid (B,): keys from there on are padding; None: there is none. Dropout draws its seed
        from torch's default CPU generator.
        """


def default_attention() -> Attention:
    """The implementation to build a network with: tiles on a GPU, blocks of rows elsewhere.

    `flash` hands what its kernels do not take (another device, fp64) to `rows` itself.
    """
    if not torch.cuda.is_available() or find_spec("triton") is None:
        return rows.attend
    from wavlm.nn.attention import flash

    return flash.attend
