"""Heads of speaker verification: the weighted sum, the network that embeds, and the loss that trains it.

Legend: B utterances, S states, F frames, D channels, H width of an embedding.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from wavlm.evaluation.heads import ecapa, xvector
from wavlm.evaluation.heads.angular_margin import AngularMargin
from wavlm.evaluation.heads.ecapa import Ecapa
from wavlm.evaluation.heads.weighted_sum import WeightedSum
from wavlm.evaluation.heads.xvector import HIDDEN, POOLED, AmSoftmax, XVector
from wavlm.specs.heads import XvectorHead
from wavlm.specs.speakers import EcapaHead


class FeatureSize(Protocol):
    """What a head has to know of the features."""

    @property
    def num_states(self) -> int: ...

    @property
    def num_channels(self) -> int: ...

    @property
    def hop_samples(self) -> int: ...


class EmbeddingHead(nn.Module):
    """States (B, S, F, D) and lengths (B,) to embeddings (B, H)."""

    def __init__(self, size: FeatureSize, spec: XvectorHead | EcapaHead, num_speakers: int) -> None:
        super().__init__()
        self.hop_samples = size.hop_samples
        self.sum = WeightedSum(size.num_states)
        self.vectors: XVector | Ecapa
        self.margins: AmSoftmax | AngularMargin
        if isinstance(spec, EcapaHead):
            self.vectors = Ecapa(size.num_channels, spec)
            self.margins = AngularMargin(spec.embedding, num_speakers, spec.loss)
        else:
            pooled = max(1, round(POOLED / HIDDEN * spec.width))
            self.vectors = XVector(size.num_channels, hidden=spec.width, pooled=pooled)
            self.margins = AmSoftmax(spec.width, num_speakers, scale=spec.scale, margin=spec.margin)

    def forward(self, states: Tensor, num_frames: Tensor) -> Tensor:
        """What verification compares by cosine."""
        frames = self.sum(states)
        if isinstance(self.vectors, XVector):
            return self.vectors.embed(frames, num_frames)
        found: Tensor = self.vectors(frames, num_frames)
        return found

    def loss(self, states: Tensor, num_frames: Tensor, classes: Tensor, update: int) -> Tensor:
        """The mean loss, a scalar. classes: (B,)"""
        vectors = self.vectors(self.sum(states), num_frames)
        if isinstance(self.margins, AngularMargin):
            found: Tensor = self.margins(vectors, classes, update)
        else:
            found = self.margins(vectors, classes)
        return found


def least_frames(spec: XvectorHead | EcapaHead) -> int:
    """Frames that a recording has to have."""
    return ecapa.MIN_FRAMES if isinstance(spec, EcapaHead) else xvector.MIN_FRAMES
