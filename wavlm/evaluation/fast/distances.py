"""Distances of tokens of different lengths: the mean angle between their frames along the best alignment (DTW).

The angle is arccos(cosine) / pi, in 0 .. 1. The sum of angles along the path of least sum is divided by the number of
steps of that path. Of paths that cost the same the diagonal step comes first, then the one along the second token, as
in libri-light's `dtw.pyx`.

Legend: P pairs of tokens, F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from wavlm.features.mfcc import Floats

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

CHUNK_NUMBERS = 1 << 22  # of padded frames that are compared at a time: 32 MB


def measure_distances(tokens: Sequence[Floats], first: Integers, second: Integers) -> Doubles:
    """The distance of each pair of tokens (F, D), given their numbers (P,), (P,): (P,). A frame of zeros is at 0.5."""
    lengths = np.array([len(frames) for frames in tokens], np.int64)
    found = np.empty(len(first))
    order = np.lexsort((lengths[second], lengths[first]))  # pairs of like sizes are padded and computed together
    for rows in _cut(order, lengths, first, second, tokens[0].shape[1] if tokens else 1):
        left = _pad([tokens[number] for number in first[rows]])
        right = _pad([tokens[number] for number in second[rows]])
        cosines = np.clip(left @ right.transpose(0, 2, 1), -1.0, 1.0)  # (P, F, F)
        angles = np.ascontiguousarray((np.arccos(cosines) / np.pi).transpose(1, 2, 0))
        found[rows] = align(angles, lengths[first[rows]], lengths[second[rows]])
    return found


def align(angles: Doubles, num_first: Integers, num_second: Integers) -> Doubles:
    """The mean along the best path of each pair: (F, F, P) and the numbers of frames (P,), (P,) to (P,)."""
    rows, columns, num_pairs = angles.shape
    cost, steps = np.empty_like(angles), np.empty(angles.shape, np.int64)
    for i in range(rows):
        for j in range(columns):
            if i and j:
                cost[i, j], steps[i, j] = _best_step(cost, steps, i, j)
            elif i or j:
                before = (i - 1, j) if i else (i, j - 1)
                cost[i, j], steps[i, j] = cost[before], steps[before]
            else:
                cost[i, j], steps[i, j] = 0.0, 0
            cost[i, j] += angles[i, j]
            steps[i, j] += 1
    ends = (num_first - 1, num_second - 1, np.arange(num_pairs))
    return np.asarray(cost[ends] / steps[ends], np.float64)


def _best_step(cost: Doubles, steps: Integers, i: int, j: int) -> tuple[Doubles, Integers]:
    """Cost and number of steps of the best path that ends before this place, (P,) each."""
    diagonal, left, up = cost[i - 1, j - 1], cost[i, j - 1], cost[i - 1, j]
    straight = np.minimum(left, up)
    is_diagonal, is_left = diagonal <= straight, left <= up
    before = np.where(is_diagonal, steps[i - 1, j - 1], np.where(is_left, steps[i, j - 1], steps[i - 1, j]))
    return np.where(is_diagonal, diagonal, straight), before


def _cut(
    order: Integers, lengths: Integers, first: Integers, second: Integers, num_channels: int
) -> Iterator[Integers]:
    """Rows of pairs in chunks of bounded memory, whose first tokens are equally long."""
    _, starts = np.unique(lengths[first[order]], return_index=True)
    for group in np.split(order, starts[1:]):
        longest = int(max(lengths[first[group]].max(initial=1), lengths[second[group]].max(initial=1)))
        size = max(1, CHUNK_NUMBERS // (longest * num_channels))
        yield from (group[start : start + size] for start in range(0, len(group), size))


def _pad(tokens: Sequence[Floats]) -> Doubles:
    """Tokens as one array with frames of length 1, padded by zeros: (P, F, D)."""
    padded = np.zeros((len(tokens), max(len(frames) for frames in tokens), tokens[0].shape[1]))
    for row, frames in enumerate(tokens):
        padded[row, : len(frames)] = frames
    norms = np.linalg.norm(padded, axis=2, keepdims=True)
    return padded / np.where(norms > 0, norms, 1.0)
