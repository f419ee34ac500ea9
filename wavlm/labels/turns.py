"""Turns of speakers: an order of utterances, of which only the beginning is made. 8 bytes per utterance.

The order is random. In it each speaker has one utterance before any has a second one, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]

STEP = 1 << 16
RANGE_ROWS = 1 << 21  # about so many utterances are sorted at a time
BITS = np.uint64(32)
LOW = np.uint64(2**32 - 1)


class Turns:
    """The order of some utterances, given by a number for the speaker of each, (N,)."""

    def __init__(self, speakers: Codes, rng: np.random.Generator) -> None:
        self._speakers = speakers
        self._shuffled = shuffle(len(speakers), rng)
        is_there = np.zeros(int(speakers.max(initial=-1)) + 1, np.bool_)
        for start in range(0, len(speakers), STEP):  # numpy makes 8 bytes of each index
            is_there[speakers[start : start + STEP]] = True
        self._places = np.cumsum(is_there, dtype=np.int32) - np.int32(1)  # of each number among those that are there
        self._ranks = shuffle(int(is_there.sum()), rng)

    def __len__(self) -> int:
        return len(self._shuffled)

    def first(self, count: int) -> Integers:
        """The first `count` utterances of the order, as places in `speakers`."""
        kept, best = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        for turns, places in self._walk():
            kept, best = np.concatenate([kept, turns]), np.concatenate([best, places])
            if len(kept) > count:
                chosen = np.argpartition(kept, count - 1)[:count] if count else np.zeros(0, np.int64)
                kept, best = kept[chosen], best[chosen]
        found: Integers = self._shuffled[best[np.argsort(kept)]].astype(np.int64)
        return found

    def _walk(self) -> Iterator[tuple[npt.NDArray[np.uint64], Integers]]:
        """The place of utterances in the order of turns, and their place in the shuffled one; some at a time."""
        edges = np.linspace(0, len(self._places), 2 + len(self) // RANGE_ROWS).astype(np.int64).tolist()
        for low, high in pairwise(edges):
            yield from self._turns(self._sort(low, high))

    def _sort(self, low: int, high: int) -> npt.NDArray[np.uint64]:
        """Number and place in the shuffled order as one number, of the speakers with numbers from `low` to `high`.

        Sorted, each speaker's utterances stand together.
        """
        parts = [np.zeros(0, np.uint64)]
        for start in range(0, len(self), STEP):
            numbers = self._speakers[self._shuffled[start : start + STEP]]
            chosen = np.flatnonzero((numbers >= low) & (numbers < high))
            parts.append(numbers[chosen].astype(np.uint64) << BITS | (chosen + start).astype(np.uint64))
        whole = np.concatenate(parts)
        whole.sort()
        return whole

    def _turns(self, ordered: npt.NDArray[np.uint64]) -> Iterator[tuple[npt.NDArray[np.uint64], Integers]]:
        num_speakers = np.uint64(max(1, len(self._ranks)))
        last, began = -1, 0
        for start in range(0, len(ordered), STEP):
            some = ordered[start : start + STEP]
            numbers = (some >> BITS).astype(np.int64)
            is_new = np.diff(numbers, prepend=last) != 0
            at = np.arange(start, start + len(some))
            begins = np.maximum.accumulate(np.where(is_new, at, began))
            ranks = self._ranks[self._places[numbers]].astype(np.uint64)
            yield (at - begins).astype(np.uint64) * num_speakers + ranks, (some & LOW).astype(np.int64)
            last, began = int(numbers[-1]), int(begins[-1])


def shuffle(count: int, rng: np.random.Generator) -> Codes:
    """`rng.permutation(count)` with 4 bytes per number."""
    numbers = np.arange(count, dtype=np.int32)
    rng.shuffle(numbers)
    return numbers
