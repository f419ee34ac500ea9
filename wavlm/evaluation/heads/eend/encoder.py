"""The encoder below all end-to-end diarizers: from the states of a model to frames in which activity is told.

Weighted sum, norm over time, interpolation to the frames of activity, then Transformer layers without positions, with
a layer norm before the first and after each half (Fujita et al. 2019, arXiv 1909.06247).

Legend: B utterances, S states, F frames of the model, D channels, A activity frames, W width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wavlm.evaluation.heads.embedding import FeatureSize
from wavlm.evaluation.heads.padding import valid_frames
from wavlm.evaluation.heads.weighted_sum import WeightedSum
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.eend import FrameEncoderSpec

EPSILON = 1e-5  # torch.nn.InstanceNorm1d


@dataclass(frozen=True)
class Encoded:
    """Frames in which activity is told."""

    frames: Tensor  # (B, A, W), zeros in the padding
    lengths: Tensor  # (B,)


class FrameEncoder(nn.Module):
    """States (B, S, F, D) and their frames (B,) to `Encoded`."""

    def __init__(self, size: FeatureSize, spec: FrameEncoderSpec) -> None:
        super().__init__()
        self.hop_samples = size.hop_samples
        self.activity_hop_samples = spec.frame_ms * SAMPLE_RATE_HZ // 1000
        self.sum = WeightedSum(size.num_states)
        self.input = nn.Linear(size.num_channels, spec.width)
        self.input_norm = nn.LayerNorm(spec.width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                spec.width, spec.attention_heads, spec.feed_forward, spec.dropout, batch_first=True
            )
            for _ in range(spec.layers)
        )

    def forward(self, states: Tensor, num_frames: Tensor) -> Encoded:
        frames = normalise_over_time(self.sum(states), num_frames)
        frames, lengths = interpolate(frames, num_frames, self.hop_samples, self.activity_hop_samples)
        padding = ~valid_frames(lengths, frames.shape[1])
        x = self.input_norm(self.input(frames))
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)
        return Encoded(x.masked_fill(padding[..., None], 0), lengths)


class OnFrames(nn.Module):
    """What all heads have: the encoder, and the lengths of frames."""

    def __init__(self, size: FeatureSize, spec: FrameEncoderSpec) -> None:
        super().__init__()
        self.encoder = FrameEncoder(size, spec)

    @property
    def hop_samples(self) -> int:
        return self.encoder.hop_samples

    @property
    def activity_hop_samples(self) -> int:
        return self.encoder.activity_hop_samples


def normalise_over_time(frames: Tensor, lengths: Tensor) -> Tensor:
    """Each channel with mean 0 and variance 1 over the frames of an utterance: (B, F, D) to (B, F, D)."""
    valid = valid_frames(lengths, frames.shape[1])[..., None]
    count = lengths.view(-1, 1, 1)
    centred = torch.where(valid, frames - torch.where(valid, frames, 0).sum(1, keepdim=True) / count, 0)
    variance = centred.square().sum(1, keepdim=True) / count
    return centred / (variance + EPSILON).sqrt()


def interpolate(frames: Tensor, lengths: Tensor, hop: int, wanted_hop: int) -> tuple[Tensor, Tensor]:
    """Frames every `wanted_hop` samples in place of every `hop`: (B, F, D), (B,) to (B, A, D), (B,).

    Linear between the middles of frames. The last frame may be a part of one.
    """
    found = (lengths * hop + wanted_hop - 1) // wanted_hop
    middles = (torch.arange(int(found.max()), device=frames.device) + 0.5) * wanted_hop / hop - 0.5
    last = (lengths - 1)[:, None]
    places = torch.minimum(middles.clamp(min=0)[None], last)  # (B, A)
    lower = places.floor().long()
    share = (places - lower).to(frames)[..., None]
    rows = torch.arange(len(frames), device=frames.device)[:, None]
    mixed = frames[rows, lower] * (1 - share) + frames[rows, torch.minimum(lower + 1, last)] * share
    return mixed.masked_fill(~valid_frames(found, mixed.shape[1])[..., None], 0), found
