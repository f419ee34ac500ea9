"""Examples held as columns: a million are numbers and texts in a few arrays, and one is made when it is asked for.

What is held are examples whose audio is a take of a recording. Pooled tasks have them, as many as corpora have words.

Legend: E examples, some of which are chosen.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import JsonValue

from wavlm.evaluation.examples import Example, Take

KNOWN_TEXTS = 1 << 16  # texts that many examples share; others are written again each time
TEXTS_AT_ONCE = 1 << 15
KNOWN_TARGETS = 1 << 12  # objects that are made once
SALTS = 3  # of digests: two keys of a million have one digest in 1 of 4e7 cases, and then another salt is taken
WHOLE = -1  # of a take that goes to the end of its recording

Numbers = npt.NDArray[np.int32]


class _Texts:
    """Texts one after the other. `add` gives the number of a text, which is that of an equal one if it is known."""

    def __init__(self) -> None:
        self._bytes, self._ends = bytearray(), array("q")
        self._known: dict[str, int] = {}

    def add(self, text: str) -> int:
        if (number := self._known.get(text)) is not None:
            return number
        number = self.append(text)
        if number < KNOWN_TEXTS:
            self._known[text] = number
        return number

    def append(self, text: str) -> int:
        self._bytes += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._bytes))
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        begin = self._ends[number - 1] if number else 0
        return self._bytes[begin : self._ends[number]].decode("utf-8", "surrogatepass")


class _Columns:
    """All examples of one collection."""

    def __init__(self, examples: Iterable[Example]) -> None:
        self.keys, self.texts = _Texts(), _Texts()
        self.contents = _Texts()
        self.speakers, self.parts, self.targets = (array("i") for _ in range(3))
        self.folders, self.rows, self.samples = array("i"), array("i"), array("q")
        self.starts, self.stops = array("q"), array("q")
        for item in examples:
            self._add(item)
        self.target_of: Callable[[int], JsonValue] = lru_cache(KNOWN_TARGETS)(self._read_target)

    def _add(self, item: Example) -> None:
        take = item.audio
        assert type(item) is Example  # noqa: S101 - by its callers: a subclass has more fields
        assert isinstance(take, Take)  # noqa: S101 - the same
        assert not item.compared_with  # noqa: S101 - the same
        self.keys.append(item.key)
        self.speakers.append(self.texts.add(item.speaker))
        self.parts.append(self.texts.add(item.part))
        self.contents.append(item.content)
        self.targets.append(self.texts.add(json.dumps(item.target, ensure_ascii=False)))
        self.samples.append(item.num_samples)
        self.folders.append(take.folder)
        self.rows.append(take.row)
        self.starts.append(take.start)
        self.stops.append(WHOLE if take.stop is None else take.stop)

    def _read_target(self, number: int) -> JsonValue:
        found: JsonValue = json.loads(self.texts[number])
        return found

    def __len__(self) -> int:
        return len(self.rows)

    def make(self, row: int) -> Example:
        stop = self.stops[row]
        return Example(
            key=self.keys[row],
            speaker=self.texts[self.speakers[row]],
            part=self.texts[self.parts[row]],
            num_samples=self.samples[row],
            audio=Take(self.folders[row], self.rows[row], self.starts[row], None if stop == WHOLE else stop),
            target=self.target_of(self.targets[row]),
            content=self.contents[row],
        )


class HeldExamples(Sequence[Example]):
    """Some examples of a collection, in an order of their own. Choosing from them copies no example."""

    def __init__(self, columns: _Columns, rows: Numbers) -> None:
        """rows: (E,) numbers in the collection."""
        self.columns, self.rows = columns, rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, at: int) -> Example: ...
    @overload
    def __getitem__(self, at: slice) -> HeldExamples: ...
    def __getitem__(self, at: int | slice) -> Example | HeldExamples:
        if isinstance(at, slice):
            return HeldExamples(self.columns, self.rows[at])
        return self.columns.make(int(self.rows[at]))

    def __iter__(self) -> Iterator[Example]:
        return map(self.columns.make, map(int, self.rows))

    def __reduce__(self) -> tuple[Any, ...]:
        """What travels to a worker are these examples alone."""
        return tuple, (tuple(self),)


def hold_examples(examples: Iterable[Example]) -> HeldExamples:
    """Examples as columns. Their audio is a take, and nothing is compared with them."""
    columns = _Columns(examples)
    return HeldExamples(columns, np.arange(len(columns), dtype=np.int32))


def choose_examples(examples: Sequence[Example], numbers: Iterable[int] | npt.NDArray[np.intp]) -> Sequence[Example]:
    """The examples of these places."""
    if isinstance(examples, HeldExamples):
        return HeldExamples(examples.columns, examples.rows[np.asarray(numbers, dtype=np.intp)])
    return tuple(examples[number] for number in numbers)


def join_examples(first: Sequence[Example], second: Sequence[Example]) -> Sequence[Example]:
    """Two sets of examples as one."""
    if isinstance(first, HeldExamples) and isinstance(second, HeldExamples) and first.columns is second.columns:
        return HeldExamples(first.columns, np.concatenate([first.rows, second.rows]))
    return (*first, *second)


def change_examples(examples: Sequence[Example], change: Callable[[Example], Example | None]) -> Sequence[Example]:
    """The examples as a function makes them, without those of which it makes nothing."""
    if not isinstance(examples, HeldExamples):
        return tuple(one for one in map(change, examples) if one is not None)
    if all(change(item) is item for item in examples):
        return examples
    return hold_examples(one for one in map(change, examples) if one is not None)


def order_by_key(sets: Sequence[Sequence[Example]]) -> Sequence[Example]:
    """The examples of several sets by their keys, each key once; the last one of a key counts."""
    held = [item for item in sets if isinstance(item, HeldExamples)]
    if len(held) < len(sets) or not held:
        unique = {item.key: item for examples in sets for item in examples}
        return [unique[key] for key in sorted(unique)]
    if any(item.columns is not held[0].columns for item in held):
        every = hold_examples(item for examples in held for item in examples)
    else:
        every = HeldExamples(held[0].columns, np.unique(np.concatenate([item.rows for item in held])))
    keys = _keys_of(every)
    order = pc.sort_indices(keys).to_numpy()  # stable, and by code points, as Python sorts
    keys = keys.take(pa.array(order))
    is_last = np.append(pc.not_equal(keys[:-1], keys[1:]).to_numpy(zero_copy_only=False), [True])
    return HeldExamples(every.columns, every.rows[order[is_last[: len(order)]]])


def _keys_of(examples: HeldExamples) -> pa.Array:
    """Their keys, some at a time: a million texts as objects would take more than everything else."""
    read, rows = examples.columns.keys, examples.rows
    starts = range(0, max(1, len(rows)), TEXTS_AT_ONCE)
    chunks = [
        pa.array([read[int(row)] for row in rows[start : start + TEXTS_AT_ONCE]], pa.string()) for start in starts
    ]
    return pa.chunked_array(chunks).combine_chunks()


class KeyRows:
    """The place of each key of some examples, one set after the other. 16 bytes per example, and no text."""

    def __init__(self, sets: Iterable[Sequence[Example]]) -> None:
        every = tuple(sets)
        for self._salt in range(SALTS):
            digests = np.fromiter((self._digest(item.key) for part in every for item in part), np.uint64)
            self._rows = np.argsort(digests, kind="stable")
            self._sorted = digests[self._rows]
            if (self._sorted[1:] != self._sorted[:-1]).all():
                return
        raise ValueError(f"found one key twice among {len(self._rows)} examples, expected each once; in an evaluation")

    def __getitem__(self, key: str) -> int:
        """Raises KeyError for a key that was not among them."""
        digest = self._digest(key)
        place = int(np.searchsorted(self._sorted, np.uint64(digest)))
        if place == len(self._sorted) or int(self._sorted[place]) != digest:
            raise KeyError(key)
        return int(self._rows[place])

    def _digest(self, key: str) -> int:
        salt = self._salt.to_bytes(1, "little")
        return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, salt=salt).digest())
