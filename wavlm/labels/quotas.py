"""How many frames of a sample come from which corpus and which utterance. Numbers alone, no audio.

1. Each corpus gets a share of the sample: by its hours, or as given.
2. Within a corpus speakers take turns (`wavlm.labels.turns`), so that nobody is heard often because he speaks much.
3. Each utterance gives few frames, so that there are many utterances: neighbouring frames are much alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


def allot_corpora(num_frames: int, available: Integers, weights: Numbers) -> Integers:
    """The number of frames of each corpus, (corpora,): in proportion to `weights`, and at most those `available`.

    What a corpus lacks is given by the others, in proportion to their weights. The numbers add up to `num_frames`, or
    to all that there is of corpora with a weight above 0.
    """
    quotas = np.zeros(len(available), np.int64)
    is_open = (weights > 0) & (available > 0)
    while (left := num_frames - int(quotas.sum())) > 0 and is_open.any():
        ideal = np.where(is_open, left * weights / weights[is_open].sum(), 0.0)
        is_full = is_open & (ideal >= available)
        if not is_full.any():
            return quotas + _round_to_sum(ideal, left)
        quotas[is_full] = available[is_full]
        is_open &= ~is_full
    return quotas


def allot_utterances(lengths: Integers, quota: int, per_utterance: int) -> Integers:
    """The number of frames of each of the first utterances, in the order of `lengths` (N,): (n,) with n <= N.

    Each gives `per_utterance` frames, or all it has, until there are `quota` frames. If all of them together have too
    few, each gives as many more as are needed. The numbers add up to `quota`, or to all frames.
    """
    quota = min(quota, int(lengths.sum()))
    counts = np.minimum(lengths, per_utterance)
    if counts.sum() < quota:
        return _raise_counts(lengths, quota, per_utterance)
    ends = np.cumsum(counts)
    num_used = int(np.searchsorted(ends, quota)) + 1 if quota else 0
    counts = counts[:num_used]
    if num_used:
        counts[-1] -= ends[num_used - 1] - quota
    return counts


def _raise_counts(lengths: Integers, quota: int, too_few: int) -> Integers:
    """The same number of frames of all utterances that have them, the smallest that gives `quota`; one less of some."""
    low, high = too_few, int(lengths.max())  # low gives fewer than the quota, high gives enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if np.minimum(lengths, middle).sum() >= quota else (middle, high)
    counts = np.minimum(lengths, low)
    longer = np.flatnonzero(lengths > low)
    counts[longer[: quota - int(counts.sum())]] += 1
    return counts


def _round_to_sum(ideal: Numbers, total: int) -> Integers:
    """Whole numbers near `ideal` that add up to `total`: the largest remainders are rounded up."""
    whole = np.floor(ideal).astype(np.int64)
    up = np.argsort(-(ideal - whole), kind="stable")[: total - int(whole.sum())]
    whole[up] += 1
    return whole
