"""Reference attention with every (F, F) matrix in memory; tests compare the other implementations with it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from wavlm.nn.attention.bias import PositionBias


def attend_dense(
    heads: tuple[Tensor, Tensor, Tensor],
    bias: PositionBias | None,
    num_valid: Tensor | None,
    keep: Tensor | None = None,
    keep_probability: float = 1.0,
) -> Tensor:
    """(B, H, F, d) x 3 -> (B, H, F, d). keep (B, H, F, F) bool: the weights that dropout keeps."""
    query, key, value = heads
    num_frames = query.shape[2]
    logits = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
    position = torch.arange(num_frames, device=query.device)
    if bias is not None:
        distance = position[None, :] - position[:, None]
        logits = logits + bias.gate[..., None] * bias.table[:, num_frames - 1 + distance]
    if num_valid is not None:
        padding = position >= num_valid[:, None]  # (B, F)
        logits = logits.masked_fill(padding[:, None, None, :], -math.inf)
    weights = logits.softmax(-1)
    if keep is not None:
        weights = weights * keep / keep_probability
    return weights @ value
