"""ECAPA-TDNN, the network that embeds voices (Desplanques et al. 2020), in the small form of WavLM's authors.

An instance norm comes first, convolutions pad with zeros, attention sees no context of the whole utterance, and the
layer before pooling has no norm: UniSpeech, downstreams/speaker_verification/models/ecapa_tdnn.py at 03fbb62.

Legend: B utterances, F frames, D channels of the input, C channels, P pooled channels, H width of an embedding.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.evaluation.heads.padding import valid_frames
from wavlm.specs.speakers import EcapaHead

FIRST_KERNEL, KERNEL = 5, 3
DILATIONS = (2, 3, 4)  # of the three SE-Res2Blocks
INSTANCE_EPSILON = 1e-5
LEAST_VARIANCE = 1e-9  # its root has a gradient
MIN_FRAMES = 2  # one frame has no variance, so its instance norm is 0


class Ecapa(nn.Module):
    """Frames (B, F, D) and lengths (B,) to embeddings (B, H). Verification compares them by their cosine."""

    def __init__(self, width: int, spec: EcapaHead) -> None:
        super().__init__()
        self.input_channels = min(width, spec.input_channels or width)
        self.first = _TimeDelay(self.input_channels, spec.channels, FIRST_KERNEL)
        self.blocks = nn.ModuleList(_SeRes2Block(spec, dilation) for dilation in DILATIONS)
        self.join = nn.Conv1d(len(DILATIONS) * spec.channels, spec.pooled, 1)
        self.attention = nn.Sequential(
            nn.Conv1d(spec.pooled, spec.attention, 1), nn.Tanh(), nn.Conv1d(spec.attention, spec.pooled, 1)
        )
        self.norm = nn.BatchNorm1d(2 * spec.pooled)
        self.embedding = nn.Linear(2 * spec.pooled, spec.embedding)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        valid = _find_padding(lengths, frames)
        x = _instance_norm(frames[..., : self.input_channels].transpose(1, 2), valid)
        x = self.first(x, valid)  # (B, C, F)
        found = []
        for block in self.blocks:
            x = block(x, valid)
            found.append(x)
        x = functional.relu(self.join(torch.cat(found, dim=1)))  # (B, P, F)
        logits = self.attention(x)
        shares = (logits if valid is None else logits.masked_fill(~valid, -torch.inf)).softmax(dim=2)
        mean = (shares * x).sum(dim=2, keepdim=True)
        variance = (shares * (x - mean).square()).sum(dim=2)
        pooled = torch.cat([mean[..., 0], variance.clamp(min=LEAST_VARIANCE).sqrt()], dim=1)  # (B, 2P)
        embedded: Tensor = self.embedding(self._normalise(pooled))
        return embedded

    def _normalise(self, pooled: Tensor) -> Tensor:
        """Batch norm of (B, 2P). A single utterance has no variance: it is normalised as after training."""
        norm = self.norm
        if self.training and len(pooled) == 1:
            return functional.batch_norm(
                pooled, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
            )
        found: Tensor = norm(pooled)
        return found


class _TimeDelay(nn.Module):
    """A convolution over time, ReLU, batch norm. Frames in the padding are 0 and count in no norm."""

    def __init__(self, width: int, channels: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, channels, kernel, dilation=dilation, padding=kernel // 2 * dilation)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """(B, D, F) to (B, C, F)"""
        x = functional.relu(self.conv(x))
        if valid is None:
            normed: Tensor = self.norm(x)
            return normed
        real = valid[:, 0]  # (B, F)
        rows = torch.zeros_like(x.transpose(1, 2))
        rows[real] = self.norm(x.transpose(1, 2)[real])
        return rows.transpose(1, 2)


class _SeRes2Block(nn.Module):
    """1x1, a Res2 layer of dilated convolutions, 1x1, squeeze and excitation; added to its input."""

    def __init__(self, spec: EcapaHead, dilation: int) -> None:
        super().__init__()
        width = spec.channels // spec.groups
        self.before = _TimeDelay(spec.channels, spec.channels, 1)
        self.groups = nn.ModuleList(_TimeDelay(width, width, KERNEL, dilation) for _ in range(spec.groups - 1))
        self.after = _TimeDelay(spec.channels, spec.channels, 1)
        self.squeeze = nn.Linear(spec.channels, spec.squeeze)
        self.excite = nn.Linear(spec.squeeze, spec.channels)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """(B, C, F) to (B, C, F)"""
        *parts, last = self.before(x, valid).chunk(len(self.groups) + 1, dim=1)
        found: list[Tensor] = []
        for part, group in zip(parts, cast("Iterable[_TimeDelay]", self.groups), strict=True):
            found.append(group(part + found[-1] if found else part, valid))
        y = self.after(torch.cat([*found, last], dim=1), valid)
        mean = y.mean(dim=2) if valid is None else y.sum(dim=2) / valid.sum(dim=2)  # (B, C); y is 0 in the padding
        gate = torch.sigmoid(self.excite(functional.relu(self.squeeze(mean))))
        added: Tensor = x + y * gate[..., None]
        return added


def _find_padding(lengths: Tensor, frames: Tensor) -> Tensor | None:
    """Which frames are real, (B, 1, F); None if all are."""
    valid = valid_frames(lengths, frames.shape[1])[:, None]
    return None if bool(valid.all()) else valid.to(frames.device)


def _instance_norm(x: Tensor, valid: Tensor | None) -> Tensor:
    """Each channel of each utterance with mean 0 and variance 1 over its frames: (B, D, F) to (B, D, F)."""
    if valid is None:
        return functional.instance_norm(x, eps=INSTANCE_EPSILON) if x.shape[2] > 1 else torch.zeros_like(x)
    count = valid.sum(dim=2, keepdim=True)
    centred = torch.where(valid, x - torch.where(valid, x, 0).sum(dim=2, keepdim=True) / count, 0)
    variance = centred.square().sum(dim=2, keepdim=True) / count
    return centred / (variance + INSTANCE_EPSILON).sqrt()
