"""Copies of held-out speech: utterances of the train split whose audio is in a valid split, of any corpus.

Training, the sample of a codebook and every other use of the train split leave them out. Otherwise validation would
measure speech that was trained on. An utterance is a copy if its FLAC is that of a valid one, or if one of its pieces
shares samples with a valid one: another region of a file, or clips that were joined or cut in another way.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wavlm.shards.index import num_utterances, stream_columns, stream_split, take_rows
from wavlm.storage.arrow import bytes_of_texts, ends_of_texts, find_text, from_mask, to_mask, to_numbers
from wavlm.storage.texts import Among, Hashes

Mask: TypeAlias = NDArray[np.bool_]
Integers: TypeAlias = NDArray[np.int64]

MARK_DIGITS = 16
FACTORS = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9], np.uint64)  # odd, and arbitrary
FILES = "origins.list.element.file"  # the column of the index that most rows need
SETTLED_TOGETHER = 1 << 16  # rows whose origins are read together
MEAN = 0  # the channel that shares audio with every other one
EVERY = -1  # stands for all channels together


def find_copies_of_valid(shards_dirs: Sequence[Path]) -> tuple[Mask, ...]:
    """For each folder, which rows of its index are in train and share audio with a valid row of any folder.

    The columns are read in batches: 30 million utterances, of which a hundredth is valid, take 0.2 GB.
    Raises BadDataError if an index is missing or damaged.
    """
    held = _Held.of(_read_valid(shards_dirs))
    return tuple(_mask(folder, held) for folder in shards_dirs)


def _read_valid(shards_dirs: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    for folder in shards_dirs:
        yield from (batch for _, batch in stream_split(folder, ["sha256", "origins"], "valid"))


@dataclass(frozen=True, eq=False)
class _Origins:
    """Spans of samples of files, as columns."""

    files: NDArray[np.uint64]
    channels: NDArray[np.int16]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]

    @classmethod
    def of(cls, origins: pa.ListArray) -> _Origins:
        flat = pc.list_flatten(origins)
        return cls(*(to_numbers(pc.struct_field(flat, name)) for name in ("file", "channel", "start", "stop")))

    def take(self, rows: NDArray[np.int64]) -> _Origins:
        return _Origins(self.files[rows], self.channels[rows], self.starts[rows], self.stops[rows])


_NONE = _Origins(np.zeros(0, np.uint64), np.zeros(0, np.int16), np.zeros(0, np.int64), np.zeros(0, np.int64))


class _Held:
    """What is held out: the digests of utterances, and spans of samples by file and channel."""

    def __init__(self, sha256s: pa.Array, origins: _Origins) -> None:
        self._sha256s = sha256s
        self._marks = Among(_mark(sha256s))
        self._origins = origins.take(np.argsort(origins.files, kind="stable"))
        self._files = Among(origins.files)
        self._spans: dict[int, dict[int, list[tuple[int, int]]]] = {}

    @classmethod
    def of(cls, batches: Iterable[pa.RecordBatch]) -> _Held:
        sha256s, origins = [], []
        for batch in batches:
            sha256s.append(batch["sha256"])
            origins.append(_Origins.of(batch["origins"]))
        columns = (np.concatenate(column) for column in zip(*map(_columns_of, (_NONE, *origins)), strict=True))
        return cls(pa.concat_arrays([pa.nulls(0, pa.string()), *sha256s]), _Origins(*columns))

    def find_equal(self, sha256s: pa.Array) -> Mask:
        """Which of some utterances have the audio of one that is held out, given their digests."""
        mask = self._marks.find(_mark(sha256s))
        if mask.any():
            marked = sha256s.filter(from_mask(mask))
            mask[mask] = to_mask(pc.is_in(marked, value_set=self._sha256s))
        return mask

    def find_near(self, origins: pa.ListArray) -> Mask:
        """Which of some utterances are made of a file that something held out is made of. `origins`: their files."""
        mask = np.zeros(len(origins), np.bool_)
        found = self._files.find(to_numbers(pc.struct_field(pc.list_flatten(origins), "file")))
        if found.any():
            mask[to_numbers(pc.list_parent_indices(origins))[found]] = True
        return mask

    def find_shared(self, origins: pa.ListArray) -> Mask:
        """Which of some utterances share samples with one that is held out."""
        mask = np.zeros(len(origins), np.bool_)
        rows, columns = to_numbers(pc.list_parent_indices(origins)), _columns_of(_Origins.of(origins))
        for row, *origin in zip(rows.tolist(), *(column.tolist() for column in columns), strict=True):
            mask[row] |= self._meets(*origin)
        return mask

    def _meets(self, file: int, channel: int, start: int, stop: int) -> bool:
        lanes = (EVERY,) if channel == MEAN else (channel, MEAN)
        for spans in (self._spans_of(file).get(lane, []) for lane in lanes):
            before = bisect_left(spans, (stop,)) - 1  # the last span that begins before the end
            if before >= 0 and spans[before][1] > start:
                return True
        return False

    def _spans_of(self, file: int) -> dict[int, list[tuple[int, int]]]:
        """The spans of a file by channel; of all together under `EVERY`. Made for files that are met."""
        if file not in self._spans:
            files = self._origins.files
            first, last = (int(np.searchsorted(files, np.uint64(file), side=side)) for side in ("left", "right"))
            here = self._origins.take(np.arange(first, last))
            spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
            for _, channel, start, stop in zip(*(column.tolist() for column in _columns_of(here)), strict=True):
                for lane in (channel, EVERY):
                    spans[lane].append((start, stop))
            self._spans[file] = {lane: _merge(found) for lane, found in spans.items()}
        return self._spans[file]


def _columns_of(origins: _Origins) -> tuple[NDArray[Any], ...]:
    return origins.files, origins.channels, origins.starts, origins.stops


def _mark(sha256s: pa.Array) -> Hashes:
    """A number per digest, which tells most of them apart: a mix of its first 16 digits."""
    ends, text = ends_of_texts(sha256s), bytes_of_texts(sha256s)
    lengths = np.diff(ends)
    if len(lengths) and lengths[0] >= MARK_DIGITS and (lengths == lengths[0]).all():
        digits = text.reshape(len(lengths), -1)[:, :MARK_DIGITS]
    else:  # a text that is shorter than a digest ends with zeros
        digits = np.zeros((len(lengths), MARK_DIGITS), np.uint8)
        is_there = np.arange(MARK_DIGITS) < lengths[:, None]
        digits[is_there] = text[(ends[:-1, None] - ends[0] + np.arange(MARK_DIGITS))[is_there]]
    halves = np.ascontiguousarray(digits).view("<u8") * FACTORS
    marks: Hashes = halves[:, 0] + halves[:, 1]
    return marks ^ marks >> np.uint64(32)


def _merge(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that overlap or touch become one. In order."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], stop)
        else:
            merged.append((start, stop))
    return merged


def _mask(folder: Path, held: _Held) -> Mask:
    """Which rows of a folder are copies. Of most of them neither text nor times are looked at."""
    mask = np.zeros(num_utterances(folder), np.bool_)
    near, num_near, at = list[Integers](), 0, 0
    for batch in stream_columns(folder, ["split", "sha256", FILES], dictionaries=["split"]):
        is_train = find_text(batch["split"], "train")
        is_equal = is_train & held.find_equal(batch["sha256"])
        mask[at : at + len(batch)] = is_equal
        near.append(at + np.flatnonzero(is_train & ~is_equal & held.find_near(batch["origins"])))
        at, num_near = at + len(batch), num_near + len(near[-1])
        if num_near >= SETTLED_TOGETHER:
            _settle(folder, held, np.concatenate(near), mask)
            near, num_near = [], 0
    if num_near:
        _settle(folder, held, np.concatenate(near), mask)
    return mask


def _settle(folder: Path, held: _Held, rows: Integers, mask: Mask) -> None:
    """Mark those of some rows that share samples with held-out speech."""
    origins = take_rows(folder, ["origins"], rows)["origins"].combine_chunks()
    mask[rows] = held.find_shared(origins)
