"""Columns of texts as numbers: 8 bytes per row where Python's text takes 100, for counting and comparing many.

Two texts of 64 bits each are the same number by chance once in 2 ** 57 pairs at worst. So what a user is told about a
repeated text is looked up in the texts themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes: TypeAlias = npt.NDArray[np.uint64]
Column: TypeAlias = "pa.Array | pa.ChunkedArray"

STEP_ROWS = 1 << 12  # hashed at a time: 10 MB in between
TABLE_BITS = 22
TABLE_MASK = np.uint64((1 << TABLE_BITS) - 1)
_SEED = 20_000


def hash_texts(column: Column, salt: int = 0) -> Hashes:
    """A number for each text, (rows,): equal for equal texts, in every run. A missing text counts as an empty one.

    Another salt gives other numbers: two of them tell texts apart of which there may be any number.

    The multilinear hash of Lemire and Kaser (2014, doi 10.1093/comjnl/bxs156): the sum of the bytes, each times a
    random number of its place, modulo 2 ** 64.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    steps = [
        _hash_step(chunk.slice(start, STEP_ROWS), _SEED + salt)
        for chunk in chunks
        for start in range(0, len(chunk), STEP_ROWS)
    ]
    return np.concatenate(steps) if steps else np.zeros(0, np.uint64)


class Among:
    """Tells which numbers are among some known ones."""

    def __init__(self, known: Hashes) -> None:
        self._known = distinct(known)
        # Most numbers that are not known miss this table, which a core keeps in its cache.
        self._may_be = np.zeros(1 << TABLE_BITS, np.bool_)
        self._may_be[self._known & TABLE_MASK] = True

    def find(self, numbers: Hashes) -> npt.NDArray[np.bool_]:
        """Which of the numbers are known."""
        found: npt.NDArray[np.bool_] = self._may_be[numbers & TABLE_MASK]
        at = np.flatnonzero(found)
        if len(at):
            place = np.minimum(np.searchsorted(self._known, numbers[at]), len(self._known) - 1)
            found[at] = self._known[place] == numbers[at]
        return found


def distinct(hashes: Hashes) -> Hashes:
    """Each number once, in order. numpy's `unique` makes a table of 50 bytes per number."""
    ordered = np.sort(hashes)
    is_first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return ordered if is_first.all() else ordered[is_first]


def find_later(hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Which numbers have stood there before, (rows,)."""
    later = np.zeros(len(hashes), np.bool_)
    if len(find_repeated(hashes)):
        later[:] = True
        later[np.unique(hashes, return_index=True)[1]] = False
    return later


def find_repeated(hashes: Hashes) -> Hashes:
    """The numbers that stand there more than once, in order."""
    ordered = np.sort(hashes)
    return distinct(ordered[1:][ordered[1:] == ordered[:-1]])


def find_repeats(hashes: Hashes, read: Callable[[], Iterable[Column]]) -> list[str]:
    """The texts that stand in a column more than once, in order. `hashes`: of all of it; `read`: it, some rows a time.

    It is read only if numbers are repeated.
    """
    suspects = find_repeated(hashes)
    if not len(suspects):
        return []
    among = Among(suspects)
    seen: set[str] = set()
    twice: set[str] = set()
    for column in read():
        for text in column.filter(pa.array(among.find(hash_texts(column)))).to_pylist():
            (twice if text in seen else seen).add(text)
    return sorted(twice)


def _hash_step(texts: pa.Array, seed: int) -> Hashes:
    texts = texts.cast(pa.large_binary())
    if texts.null_count:
        texts = texts.fill_null(b"")
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]
    lengths = np.diff(offsets)
    first, last = int(offsets[0]), int(offsets[-1])
    content = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[first:last]
    places = np.arange(last - first) - np.repeat(offsets[:-1] - first, lengths)
    factors = np.random.default_rng(seed).integers(1, 2**64, int(lengths.max(initial=0)) + 1, np.uint64)
    # A byte counts from 1, so that a zero byte at the end makes another text.
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum((content + np.uint64(1)) * factors[places])])
    found: Hashes = sums[offsets[1:] - first] - sums[offsets[:-1] - first]
    return found
