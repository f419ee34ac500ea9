"""Pairs of recordings to compare: those of a publisher's list, or made by rule from recordings and their speakers.

Legend: N trials, E examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.rng import rng_for

Integers = npt.NDArray[np.int64]
PATIENCE = 20  # rounds of drawing pairs: few pairs that were not drawn yet are then left


@dataclass(frozen=True)
class Pairs:
    """Trials among some examples."""

    left: Integers  # (N,) numbers of examples
    right: Integers  # (N,)
    is_target: npt.NDArray[np.bool_]  # (N,) whether both are of one speaker

    def __len__(self) -> int:
        return len(self.left)


def pair_by_rule(keys: Sequence[str], speakers: Sequence[str], most: int) -> Pairs:
    """All pairs of examples (E,), or at most so many: half of one speaker, if there are so many, and half of two.

    Keys and speakers alone decide which ones are drawn, in whatever order they come.
    """
    order = np.array(sorted(range(len(keys)), key=lambda number: keys[number]), dtype=np.int64)
    groups = np.unique([speakers[number] for number in order], return_inverse=True)[1]
    count = len(order)
    if count * (count - 1) // 2 <= most:
        left, right = np.triu_indices(count, 1)
    else:
        sizes = np.bincount(groups)
        num_same = int((sizes * (sizes - 1) // 2).sum())
        num_other = count * (count - 1) // 2 - num_same
        wanted_same = min(num_same, max(most // 2, most - num_other))
        left, right = np.concatenate(
            [_same(groups, wanted_same), _other(groups, min(num_other, most - wanted_same))], axis=1
        )
    return Pairs(order[left], order[right], groups[left] == groups[right])


def _same(groups: Integers, wanted: int) -> Integers:
    """Pairs within groups, (2, wanted), drawn by chance among all of them."""
    members = [np.flatnonzero(groups == group) for group in range(int(groups.max()) + 1)]
    counts = np.array([len(item) * (len(item) - 1) // 2 for item in members])
    if not wanted:
        return np.empty((2, 0), dtype=np.int64)
    chosen = np.sort(rng_for(0, "trials", "same").choice(int(counts.sum()), wanted, replace=False))
    ends = np.cumsum(counts)
    group_of = np.searchsorted(ends, chosen, side="right")
    pairs = []
    for group in np.unique(group_of):
        places = chosen[group_of == group] - (ends[group] - counts[group])
        left, right = np.triu_indices(len(members[group]), 1)
        pairs.append(members[group][np.stack([left[places], right[places]])])
    return np.concatenate(pairs, axis=1)


def _other(groups: Integers, wanted: int) -> Integers:
    """Pairs of two groups, (2, wanted), drawn by chance without one twice; fewer only where nearly all are drawn."""
    rng, count = rng_for(0, "trials", "other"), len(groups)
    found = np.empty(0, dtype=np.int64)
    for _ in range(PATIENCE):
        if len(found) >= wanted:
            break
        drawn = np.sort(rng.integers(count, size=(2, 2 * wanted)), axis=0)
        codes = (drawn[0] * count + drawn[1])[groups[drawn[0]] != groups[drawn[1]]]
        every = np.concatenate([found, codes])
        found = every[np.sort(np.unique(every, return_index=True)[1])]
    chosen = np.sort(found[:wanted])
    return np.stack([chosen // count, chosen % count])
