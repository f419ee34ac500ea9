"""The prediction head: cosine logits against label embeddings (docs/algorithm.md section 9).

Each stream of labels has a head of its own. The loss of a frame is the mean over the streams.

S selected frames, D width, P projection width, C classes, L streams.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.nn.conv import to_at_least_fp32
from wavlm.specs import NetworkSpec

COSINE_EPS = 1e-8


@dataclass(frozen=True)
class FrameSums:
    """Sums over some frames."""

    loss: Tensor  # () summed cross entropy, nats
    num_frames: Tensor  # () int64
    num_correct: Tensor  # (): frames whose most likely class is their label; of several streams the mean


@dataclass(frozen=True)
class Predictions:
    """Loss and correctness of each frame."""

    losses: Tensor  # (S,) cross entropy in fp32, nats
    correct: Tensor  # (S,) bool: the most likely class is the label; of several streams the share, (S,) float

    def over(self, where: Tensor) -> FrameSums:
        """Sums over the frames where (S,) is true."""
        return FrameSums(
            loss=torch.where(where, self.losses, 0).sum(),
            num_frames=where.sum(),
            num_correct=torch.where(where, self.correct, 0).sum(),
        )


@dataclass(frozen=True)
class LossTerms:
    """The terms of one micro-batch in an update's loss (docs/algorithm.md section 9).

    The loss of an update is the sum over its micro-batches of
    `masked_weight * masked.loss + unmasked_weight * unmasked.loss + feature_penalty * this.feature_penalty * frames`,
    divided by the sum over its micro-batches of `frames`: the number of frames whose weight is above 0.
    """

    masked: FrameSums
    unmasked: FrameSums | None  # None if only masked frames were predicted
    feature_penalty: Tensor  # () mean square of the conv features


class Head(nn.Module):
    """Projects frames and compares them with one embedding per class, by cosine.

    The reference code lists the positive class and then all classes for each frame. That is exactly softmax
    cross entropy over the classes, so here it is one product of normalised matrices.
    """

    def __init__(self, network: NetworkSpec, num_clusters: int, num_streams: int = 1) -> None:
        super().__init__()
        self.first_label = network.special_symbols  # embeddings before it are never targets
        self.projection = nn.Linear(network.width, network.projection_width)
        rows = num_clusters + network.special_symbols
        self.label_embeddings = nn.Parameter(torch.rand(rows, network.projection_width))
        self.others = nn.ModuleList(Head(network, num_clusters) for _ in range(num_streams - 1))

    def forward(self, frames: Tensor, labels: Tensor, temperature: float) -> Predictions:
        """frames (S, D); labels (S,), or of several streams (S, L): cluster numbers from 0 on.

        temperature divides the cosines.
        """
        if not self.others:
            return self.predict_stream(frames, labels, temperature)
        heads = (self, *self.others)
        streams = [head.predict_stream(frames, labels[:, number], temperature) for number, head in enumerate(heads)]
        return Predictions(
            losses=torch.stack([stream.losses for stream in streams]).mean(0),
            correct=torch.stack([stream.correct for stream in streams]).float().mean(0),
        )

    def predict_stream(self, frames: Tensor, labels: Tensor, temperature: float) -> Predictions:
        """The predictions of this head alone: labels (S,)."""
        logits = self.logits(frames, temperature)
        targets = labels + self.first_label
        return Predictions(
            losses=functional.cross_entropy(logits, targets, reduction="none"),
            correct=logits.detach().argmax(-1) == targets,
        )

    def logits(self, frames: Tensor, temperature: float) -> Tensor:
        """cosine / temperature: (S, D) -> (S, C), in fp32 or wider also under autocast."""
        projected = self.projection(frames)
        with torch.autocast(frames.device.type, enabled=False):
            ours = functional.normalize(to_at_least_fp32(projected), dim=-1, eps=COSINE_EPS)
            embeddings = to_at_least_fp32(self.label_embeddings)
            classes = functional.normalize(embeddings, dim=-1, eps=COSINE_EPS)
            return ours @ classes.T / temperature


def select_rows(mask: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    """Indices (num_rows,) of the true entries of a flat mask (N,), in order, and which indices (num_rows,) count.

    There are `num_rows` indices whatever the mask is. The first ones, as many as entries are true, count.
    The k-th true entry is the first at which the running count of true entries reaches k.

    `mask.nonzero()` is not used: its size is known only on the device, so the host would wait for it, and a
    compiled graph would end there. Row r that does not count has index r. If all of them had the same index, the
    gradients of that frame would be added one after another.
    """
    running = mask.cumsum(0)  # (N,)
    rank = torch.arange(num_rows, device=mask.device)
    counted = rank < running[-1]
    found = torch.searchsorted(running, rank + 1)
    return torch.where(counted, found, rank), counted
