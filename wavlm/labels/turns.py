"""Turns of speakers: an order of utterances, of which only the beginning is made. 16 bytes per utterance.

The order is random. In it each speaker has one utterance before any has a second one, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]

STEP = 1 << 16
POSITION_BITS = np.uint64(32)
LOW = np.uint64(2**32 - 1)


class Turns:
    """The order of some utterances, given by a number for the speaker of each, (N,)."""

    def __init__(self, speakers: Codes, rng: np.random.Generator) -> None:
        self._shuffled = shuffle(len(speakers), rng)
        # Speaker and place in the shuffled order as one number: sorted, each speaker's utterances stand together.
        self._sorted = np.empty(len(speakers), np.uint64)
        for start in range(0, len(speakers), STEP):
            places = self._shuffled[start : start + STEP]
            found = speakers[places].astype(np.uint64) << POSITION_BITS
            self._sorted[start : start + STEP] = found | np.arange(start, start + len(places), dtype=np.uint64)
        self._sorted.sort()
        self._ranks = shuffle(self._count_speakers(), rng)

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
        num_speakers = np.uint64(max(1, len(self._ranks)))
        speaker, last, began = -1, None, 0
        for start in range(0, len(self), STEP):
            some = self._sorted[start : start + STEP]
            codes = some >> POSITION_BITS
            is_new = np.ones(len(some), np.bool_)
            is_new[1:] = codes[1:] != codes[:-1]
            is_new[0] = last is None or codes[0] != last
            at = np.arange(start, start + len(some))
            begins = np.maximum.accumulate(np.where(is_new, at, began))
            speakers = np.cumsum(is_new) + speaker
            turns = (at - begins).astype(np.uint64)
            yield turns * num_speakers + self._ranks[speakers].astype(np.uint64), (some & LOW).astype(np.int64)
            speaker, last, began = int(speakers[-1]), codes[-1], int(begins[-1])

    def _count_speakers(self) -> int:
        count, last = 0, None
        for start in range(0, len(self._sorted), STEP):
            codes = self._sorted[start : start + STEP] >> POSITION_BITS
            count += int((codes[1:] != codes[:-1]).sum()) + (last is None or codes[0] != last)
            last = codes[-1]
        return int(count)


def shuffle(count: int, rng: np.random.Generator) -> Codes:
    """`rng.permutation(count)` with 4 bytes per number."""
    numbers = np.arange(count, dtype=np.int32)
    rng.shuffle(numbers)
    return numbers
