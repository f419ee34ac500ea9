"""The Conformer of continuous separation (Gulati et al. 2020; Chen et al. 2021, arXiv 2008.05773).

Layers as in the authors' network (CSS_with_Conformer, nnet/conformer.py at acdda14): a norm before each module, ReLU,
convolutions whose pointwise parts are one number for all channels, and attention with a vector per relative position
(Shaw et al. 2018) that all layers share.

Legend: B utterances, F frames, D channels, H heads, E channels of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.specs.separation import SeparatorHead

FARTHEST = 1000  # frames: farther positions count as this far


class Conformer(nn.Module):
    """Frames (B, F, D) and which of them are real (B, F) to frames (B, F, width)."""

    def __init__(self, num_channels: int, spec: SeparatorHead) -> None:
        super().__init__()
        self.input = nn.Linear(num_channels, spec.width)
        self.norm = nn.LayerNorm(spec.width)
        self.dropout = nn.Dropout(spec.dropout)
        self.positions = nn.Embedding(2 * FARTHEST, spec.width // spec.attention_heads)
        self.layers = nn.ModuleList(_Layer(spec) for _ in range(spec.layers))

    def forward(self, frames: Tensor, valid: Tensor) -> Tensor:
        x = functional.relu(self.dropout(self.norm(self.input(frames))))
        numbers = torch.arange(x.shape[1], device=x.device)
        apart = (numbers[:, None] - numbers).clamp(-FARTHEST, FARTHEST - 1) + FARTHEST
        positions = self.positions(apart)  # (F, F, E)
        for layer in self.layers:
            x = layer(x, positions, valid)
        return x


class _Layer(nn.Module):
    def __init__(self, spec: SeparatorHead) -> None:
        super().__init__()
        self.first = _FeedForward(spec)
        self.attention = _Attention(spec)
        self.convolution = _Convolution(spec)
        self.second = _FeedForward(spec)
        self.norm = nn.LayerNorm(spec.width)

    def forward(self, x: Tensor, positions: Tensor, valid: Tensor) -> Tensor:
        x = x + self.first(x) / 2
        x = x + self.attention(x, positions, valid)
        x = x + self.convolution(x, valid)
        found: Tensor = self.norm(x + self.second(x) / 2)
        return found


class _FeedForward(nn.Sequential):
    def __init__(self, spec: SeparatorHead) -> None:
        super().__init__(
            nn.LayerNorm(spec.width),
            nn.Linear(spec.width, spec.feed_forward),
            nn.ReLU(),
            nn.Dropout(spec.dropout),
            nn.Linear(spec.feed_forward, spec.width),
            nn.Dropout(spec.dropout),
        )


class _Attention(nn.Module):
    def __init__(self, spec: SeparatorHead) -> None:
        super().__init__()
        self.num_heads = spec.attention_heads
        self.norm = nn.LayerNorm(spec.width)
        self.queries, self.keys, self.values, self.output = (nn.Linear(spec.width, spec.width) for _ in range(4))
        self.dropout = nn.Dropout(spec.dropout)

    def forward(self, x: Tensor, positions: Tensor, valid: Tensor) -> Tensor:
        x = self.norm(x)
        query, key, value = (
            layer(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, H, F, E)
            for layer in (self.queries, self.keys, self.values)
        )
        logits = query @ key.transpose(2, 3) + torch.einsum("bhfe,fge->bhfg", query, positions)
        logits = (logits / query.shape[3] ** 0.5).masked_fill(~valid[:, None, None], -torch.inf)
        mixed = self.dropout(logits.softmax(dim=3)) @ value
        found: Tensor = self.dropout(self.output(mixed.transpose(1, 2).flatten(2)))
        return found


class _Convolution(nn.Module):
    def __init__(self, spec: SeparatorHead) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(spec.width)
        self.gates = nn.Linear(1, 2)  # of each number by itself
        self.depthwise = nn.Conv1d(spec.width, spec.width, spec.kernel, padding=spec.kernel // 2, groups=spec.width)
        self.batch_norm = nn.BatchNorm1d(spec.width)
        self.scale = nn.Linear(1, 1)
        self.dropout = nn.Dropout(spec.dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        passed, gate = self.gates(self.norm(x)[..., None]).unbind(dim=3)
        x = (passed * torch.sigmoid(gate)).masked_fill(~valid[..., None], 0)  # padding is zeros, as at the ends
        x = functional.relu(self._normalise(self.depthwise(x.transpose(1, 2)), valid)).transpose(1, 2)
        found: Tensor = self.dropout(self.scale(x[..., None])[..., 0])
        return found

    def _normalise(self, x: Tensor, valid: Tensor) -> Tensor:
        """Batch norm (B, D, F) over the frames that are real."""
        if not self.training or bool(valid.all()):
            found: Tensor = self.batch_norm(x)
            return found
        rows = x.transpose(1, 2)
        normed = torch.zeros_like(rows)
        normed[valid] = self.batch_norm(rows[valid])
        return normed.transpose(1, 2)
