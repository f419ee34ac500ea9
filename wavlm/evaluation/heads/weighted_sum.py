"""The weighted sum of all states, which every trained head begins with (Yang et al. 2021, SUPERB, section 3.2).

Legend: B utterances, S states, F frames, D channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightedSum(nn.Module):
    """Softmax weights over the states: (B, S, F, D) to (B, F, D), or pooled (B, S, D) to (B, D).

    The raw weights begin at 0, so all states count alike at first. No norm is applied before the sum, as in s3prl.
    """

    def __init__(self, num_states: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(num_states))

    def forward(self, states: Tensor) -> Tensor:
        weights = torch.softmax(self.weights, dim=0)
        return (states * weights.view(1, -1, *[1] * (states.ndim - 2))).sum(dim=1)


class OnStates(nn.Module):
    """A head of frames behind the weighted sum: states (B, S, F, D) and lengths (B,) to what the head gives.

    `step`: of so many frames the head takes the first.
    """

    def __init__(self, num_states: int, head: nn.Module, step: int = 1) -> None:
        super().__init__()
        self.sum = WeightedSum(num_states)
        self.head = head
        self.step = step

    def forward(self, states: Tensor, num_frames: Tensor) -> Tensor:
        return self.on_sum(self.sum(states), num_frames)

    def on_sum(self, frames: Tensor, num_frames: Tensor) -> Tensor:
        """What the head gives of the weighted sum (B, F, D), for `count` frames."""
        found: Tensor = self.head(frames[:, :: self.step], self.count(num_frames))
        return found

    def count(self, num_frames: Tensor) -> Tensor:
        """The frames that the head takes of so many."""
        return (num_frames + self.step - 1) // self.step
