"""The head of KS, SID, IC and ER: weighted sum, projection, mean over time, classifier.

Nothing in it bends before the mean, so the mean over time can be taken first: the weighted sum of means is the mean of
weighted sums, and so is their projection. The means of a corpus are computed once and are small.

Legend: B utterances, S states, D channels, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wavlm.evaluation.heads.weighted_sum import WeightedSum


class PooledLinear(nn.Module):
    """Logits of pooled states: (B, S, D) to one (B, C) per group of classes.

    Source: s3prl's `MeanPoolingLinear` after its projection; intent classification has several groups.
    """

    def __init__(self, num_states: int, num_channels: int, projection: int, num_classes: Sequence[int]) -> None:
        super().__init__()
        self.sum = WeightedSum(num_states)
        self.projection = nn.Linear(num_channels, projection)
        self.classifier = nn.Linear(projection, sum(num_classes))
        self._sizes = list(num_classes)

    def forward(self, pooled: Tensor) -> tuple[Tensor, ...]:
        logits: Tensor = self.classifier(self.projection(self.sum(pooled)))
        return tuple(torch.split(logits, self._sizes, dim=1))
