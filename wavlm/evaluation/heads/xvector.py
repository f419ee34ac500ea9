"""The x-vector network and its AM-softmax loss: SUPERB's head for speaker verification.

B utterances, F frames, D channels, H hidden channels, P pooled channels, C speakers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.heads.padding import valid_frames

HIDDEN = 512  # s3prl, downstream/sv_voxceleb1/configs/amsoftmax.yaml: input_dim
POOLED = 1500  # agg_dim
CONTEXTS = ((5, 1), (3, 2), (3, 3), (1, 1), (1, 1))  # kernel and dilation of each layer
CONTEXT_FRAMES = sum((kernel - 1) * dilation for kernel, dilation in CONTEXTS)  # 14 fewer frames come out
MIN_FRAMES = CONTEXT_FRAMES + 2  # one frame has no standard deviation
SCALE = 30.0
MARGIN = 0.4


class XVector(nn.Module):
    """Linear D to H; five convolutions over time without padding; mean and deviation over time; two linear layers.

    Verification compares what `embed` gives: the first of the last two layers. Training sees both.
    """

    def __init__(self, width: int, *, hidden: int = HIDDEN, pooled: int = POOLED) -> None:
        super().__init__()
        self.projection = nn.Linear(width, hidden)
        outputs = [hidden] * (len(CONTEXTS) - 1) + [pooled]
        self.convs = nn.ModuleList(
            nn.Conv1d(hidden, channels, kernel, dilation=dilation)
            for channels, (kernel, dilation) in zip(outputs, CONTEXTS, strict=True)
        )
        self.embedding = nn.Linear(2 * pooled, hidden)
        self.last = nn.Linear(hidden, hidden)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """What the loss of training compares with speakers: (B, F, D) to (B, H)."""
        return functional.relu(self.last(self.embed(frames, lengths)))

    def embed(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """The embeddings of the utterances, to be compared by cosine: (B, F, D) to (B, H)."""
        valid_frames(lengths, frames.shape[1])  # refuses what does not fit
        _require_frames(lengths)
        x = self.projection(frames).transpose(1, 2)  # (B, H, F)
        for conv in cast("Iterable[nn.Conv1d]", self.convs):
            x = functional.relu(conv(x))
        rows = [row[:, : length - CONTEXT_FRAMES] for row, length in zip(x, lengths.tolist(), strict=True)]
        pooled = torch.stack([torch.cat([row.mean(1), row.std(1)]) for row in rows])  # (B, 2P)
        return functional.relu(self.embedding(pooled))


class AmSoftmax(nn.Module):
    """Additive margin softmax (Wang et al. 2018, equation 6): cosines, less a margin for the right speaker, scaled."""

    def __init__(self, width: int, num_classes: int, *, scale: float = SCALE, margin: float = MARGIN) -> None:
        super().__init__()
        self.scale, self.margin = scale, margin
        self.speakers = nn.Parameter(torch.empty(num_classes, width))
        nn.init.xavier_normal_(self.speakers)

    def cosines(self, vectors: Tensor) -> Tensor:
        """(B, H) to (B, C)"""
        return functional.normalize(vectors, dim=1) @ functional.normalize(self.speakers, dim=1).T

    def forward(self, vectors: Tensor, classes: Tensor) -> Tensor:
        """The mean loss: vectors (B, H), classes (B,) to ()."""
        cosines = self.cosines(vectors)
        margins = self.margin * functional.one_hot(classes, cosines.shape[1])
        return functional.cross_entropy(self.scale * (cosines - margins), classes)


def _require_frames(lengths: Tensor) -> None:
    shortest, row = (int(found) for found in lengths.min(0))
    if shortest < MIN_FRAMES:
        raise BadDataError(
            Code.UTTERANCE_SHORT,
            f"an utterance has {shortest} frames, and an x-vector needs {MIN_FRAMES} (0.33 s); row {row} of the batch; "
            "raise min_seconds of the evaluation's shards, or leave the recording out",
        )
