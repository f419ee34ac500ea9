"""AAM-softmax with a margin that grows, inter-top-k and sub-centres: the loss of speaker verification.

Legend: B utterances, H width of an embedding, C speakers, K centres per speaker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.specs.speakers import AngularMarginLoss

LEFT = 1e-3  # wespeaker: of an exponential rise, what is left at its end
ROUNDING = 1e-7  # a cosine of 1 has no angle with a gradient


class AngularMargin(nn.Module):
    """The loss of embeddings, with a centre or several for each speaker.

    The angle t to the right speaker counts as t + margin (Deng et al. 2019, ArcFace), that to each of the nearest wrong
    ones as t - penalty (Zhao et al. 2021). Of a speaker's centres the nearest one counts (Deng et al. 2020).
    """

    def __init__(self, width: int, num_classes: int, spec: AngularMarginLoss) -> None:
        super().__init__()
        self.spec = spec
        self.speakers = nn.Parameter(torch.empty(num_classes * spec.sub_centers, width))
        nn.init.xavier_uniform_(self.speakers)

    def cosines(self, vectors: Tensor) -> Tensor:
        """Of each embedding and the nearest centre of each speaker: (B, H) to (B, C)."""
        every = functional.normalize(vectors, dim=1) @ functional.normalize(self.speakers, dim=1).T
        return every.view(len(every), -1, self.spec.sub_centers).amax(dim=2)

    def forward(self, vectors: Tensor, classes: Tensor, update: int) -> Tensor:
        """The mean loss at an update: vectors (B, H), classes (B,) to ()."""
        margin = value_at(self.spec.margin, update, is_exponential=self.spec.rise == "exponential")
        penalty = value_at(self.spec.penalty, update, is_exponential=self.spec.rise == "exponential")
        cosines = self.cosines(vectors)
        right = functional.one_hot(classes, cosines.shape[1]).bool()
        changed = torch.where(right, further(cosines, margin), cosines)
        if penalty > 0:
            near = cosines.masked_fill(right, -torch.inf).topk(min(self.spec.top_k, cosines.shape[1] - 1)).indices
            nearest = torch.zeros_like(right).scatter_(1, near, value=True)
            changed = torch.where(nearest, nearer(cosines, penalty), changed)
        return functional.cross_entropy(self.spec.scale * changed, classes)


def further(cosines: Tensor, margin: float) -> Tensor:
    """cos(t + margin); from t = pi - margin on, where it would rise again, a line of slope 1 that continues it."""
    bounded = cosines.clamp(ROUNDING - 1, 1 - ROUNDING)
    moved = bounded * math.cos(margin) - (1 - bounded.square()).sqrt() * math.sin(margin)
    return torch.where(cosines > -math.cos(margin), moved, cosines - 1 + math.cos(margin))


def nearer(cosines: Tensor, penalty: float) -> Tensor:
    """cos(t - penalty); below t = penalty, where it would fall again, a line of slope 1 that continues it."""
    bounded = cosines.clamp(ROUNDING - 1, 1 - ROUNDING)
    moved = bounded * math.cos(penalty) + (1 - bounded.square()).sqrt() * math.sin(penalty)
    return torch.where(cosines < math.cos(penalty), moved, cosines + 1 - math.cos(penalty))


def value_at(points: Sequence[tuple[int, float]], update: int, *, is_exponential: bool = False) -> float:
    """The value of a schedule at an update: constant before the first point and after the last one."""
    before = [point for point in points if point[0] <= update]
    after = [point for point in points if point[0] > update]
    if not before or not after:
        return (before[-1:] or after[:1])[0][1]
    (begin, low), (end, high) = before[-1], after[0]
    share = (update - begin) / (end - begin)
    if is_exponential:
        share = 1 - LEFT**share
    return low + (high - low) * share
