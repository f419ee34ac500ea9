"""The loss of activities in the best order of speakers.

Binary cross entropy adds up over pairs of an output and a speaker, so the best of all orders is an assignment
(Kuhn 1955), and needs no search through K! orders.

Legend: A activity frames, K outputs, R speakers of the reference, C columns.
"""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional


def find_order(logits: Tensor, activity: Tensor) -> list[int]:
    """The speaker of each output: logits (A, K), activity (A, R) with R <= K; -1 for an output of nobody.

    An output of nobody should be silent.
    """
    num_outputs = logits.shape[1]
    padded = functional.pad(activity, (0, num_outputs - activity.shape[1]))
    detached = logits.detach().double()
    # -log sigmoid(x) where somebody speaks, -log sigmoid(-x) elsewhere; (K, K) sums over frames.
    cost = -functional.logsigmoid(detached).T @ padded.double() - functional.logsigmoid(-detached).T @ (
        1 - padded.double()
    )
    _, order = linear_sum_assignment(cost.cpu().numpy())
    return [int(number) if number < activity.shape[1] else -1 for number in order]


def take(activity: Tensor, order: list[int]) -> Tensor:
    """The columns of the activity (A, R) in this order, silence for -1: (A, C)."""
    padded = functional.pad(activity, (0, 1))
    return padded[:, order]  # -1 is the column that was added


def summed_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """The sum over frames of the mean binary cross entropy over speakers: (A, K), (A, K) to ()."""
    if not logits.shape[1]:
        return logits.new_zeros(())
    return functional.binary_cross_entropy_with_logits(logits, target.to(logits), reduction="none").mean(1).sum()


def best_entropy(logits: Tensor, activity: Tensor) -> tuple[Tensor, list[int]]:
    """`summed_entropy` in the best order of speakers, and that order."""
    order = find_order(logits, activity)
    return summed_entropy(logits, take(activity, order)), order


def mean_over_frames(sums: list[Tensor], lengths: Tensor) -> Tensor:
    """Sums of utterances, divided by all of their frames, as in the reference (hitachi-speech/EEND): ()."""
    return torch.stack(sums).sum() / lengths.sum()
