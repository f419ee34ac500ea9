"""The utterances that a codebook's sample is drawn from: those of a corpus, or of a language of it, each a pool.

A pool knows its sums. What else is wanted is read from the index when it is wanted, and only a few bytes per utterance
are in memory: 30 million utterances take 0.2 GB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wavlm.corpus.layouts import UNKNOWN_SPEAKER
from wavlm.labels.quotas import Integers
from wavlm.labels.turns import Codes
from wavlm.shards import find_copies_of_valid, stream_columns, take_rows
from wavlm.specs import UNKNOWN_LANGUAGE, Group
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid, num_labels
from wavlm.storage.arrow import find_text, to_numbers
from wavlm.storage.parquet import lean_memory

Mask = npt.NDArray[np.bool_]

STEP = 1 << 16


class Pool(Protocol):
    """Some utterances, numbered from 0."""

    @property
    def group(self) -> Group:
        """Of which corpus it is, and of which language if that matters."""

    @property
    def folder(self) -> int:
        """The number of the corpus."""

    @property
    def num_samples(self) -> int:
        """Samples of audio."""

    @property
    def num_frames(self) -> int:
        """Frames at the rate that was asked for."""

    def read_speakers(self) -> Codes:
        """A number for the speaker of each utterance, in the order in which they come.

        An utterance of an unknown speaker is a speaker of its own.
        """

    def read_samples(self, utterances: Integers) -> Integers:
        """The number of samples of some utterances."""

    def find_rows(self, utterances: Integers) -> Integers:
        """The rows of some utterances in the index of their corpus."""


@dataclass(frozen=True, eq=False)
class Pools:
    """The utterances of a split of several corpora."""

    folders: tuple[Path, ...]
    pools: tuple[Pool, ...]  # in the order of the folders; languages as they come
    copies_of_valid: int  # rows of train that are left out, because their content is in a valid split


class _Bits:
    """A mask (rows,) of which 8 rows are a byte."""

    def __init__(self, mask: Mask) -> None:
        self._bits, self._size = np.packbits(mask), len(mask)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, rows: slice) -> Mask:
        begin, end, _ = rows.indices(self._size)
        found: Mask = np.unpackbits(self._bits[begin // 8 : -(-end // 8)])[begin % 8 :][: end - begin].view(np.bool_)
        return found


@dataclass(frozen=True, eq=False)
class _IndexPool:
    """Rows of the index of a shards folder."""

    group: Group
    folder: int
    size: int  # utterances
    num_samples: int
    num_frames: int
    shards_dir: Path
    of_split: _Bits  # of the rows
    languages: npt.NDArray[np.int16] | None  # a number for the language of each row
    language: int

    def _choose(self, begin: int, end: int) -> Mask:
        """Which of some rows of the index are in the pool."""
        mask = self.of_split[begin:end]
        return mask if self.languages is None else mask & (self.languages[begin:end] == self.language)

    def read_speakers(self) -> Codes:
        found = np.empty(self.size, np.int32)
        known: dict[str, int] = {}
        at = row = num_unknown = 0
        for batch in stream_columns(self.shards_dir, ["speaker"], dictionaries=["speaker"]):
            begin, row = row, row + len(batch)
            counted = self.of_split[begin:row]
            numbers = _number_speakers(batch["speaker"], counted, known)
            is_unknown = counted & (numbers < 0)
            places = np.arange(num_unknown, num_unknown := num_unknown + int(is_unknown.sum()), dtype=np.int32)
            numbers[is_unknown] = -1 - places
            codes = numbers[self._choose(begin, row)]
            found[at : at + len(codes)] = codes
            at += len(codes)
        unknown = np.flatnonzero(found < 0)  # behind the others: the same number whatever else is in the pool
        found[unknown] = len(known) - 1 - found[unknown]
        return found

    def read_samples(self, utterances: Integers) -> Integers:
        rows = take_rows(self.shards_dir, ["samples"], self.find_rows(utterances))
        return to_numbers(rows["samples"].combine_chunks())

    def find_rows(self, utterances: Integers) -> Integers:
        return _find_chosen(self._choose, len(self.of_split), utterances)


@dataclass
class _Sums:
    utterances: int = 0
    samples: int = 0
    frames: int = 0


def read_pools(
    shards_dirs: Sequence[Path],
    names: Sequence[str],
    split: str,
    rate_hz: float,
    grid: FrameGrid = PAPER_FRAMES,
    *,
    languages: bool = False,
) -> Pools:
    """The utterances of a split; of train without copies of valid. names: of the corpora.

    languages: whether each language of a corpus is a pool of its own.
    Raises BadDataError if an index is missing or damaged.
    """
    with lean_memory():
        copies = find_copies_of_valid(shards_dirs) if split == "train" else ()
        known: dict[str, int] = {}
        pools: list[Pool] = []
        for number, (shards_dir, name) in enumerate(zip(shards_dirs, names, strict=True)):
            left_out = copies[number] if copies else None
            rates = rate_hz, grid
            pools += _read_folder(shards_dir, number, name, split, rates, left_out, known if languages else None)
    return Pools(tuple(shards_dirs), tuple(pools), sum(int(mask.sum()) for mask in copies))


def _find_chosen(choose: Callable[[int, int], Mask], num_rows: int, numbers: Integers) -> Integers:
    """The rows of the chosen ones with these numbers. choose: which of the rows from one to another are chosen."""
    counts = [np.count_nonzero(choose(start, min(start + STEP, num_rows))) for start in range(0, num_rows, STEP)]
    before = np.cumsum([0, *counts])
    step = np.searchsorted(before, numbers, side="right") - 1
    found = np.empty(len(numbers), np.int64)
    for number in np.unique(step).tolist():
        here = step == number
        first = number * STEP
        chosen = np.flatnonzero(choose(first, min(first + STEP, num_rows)))
        found[here] = first + chosen[numbers[here] - before[number]]
    return found


def _read_folder(  # noqa: PLR0913, PLR0917  all that a pool is told
    shards_dir: Path,
    number: int,
    name: str,
    split: str,
    rates: tuple[float, FrameGrid],  # of what is sampled, and of the frames
    left_out: Mask | None,
    known: dict[str, int] | None,
) -> Iterator[Pool]:
    """The pools of a corpus. `known`: numbers of the languages so far, which grow; None: they do not matter."""
    sums: dict[int, _Sums] = {}
    masks, codes = [np.zeros(0, np.bool_)], [np.zeros(0, np.int16)]
    texts, at = ["split", *(["language"] if known is not None else [])], 0
    for batch in stream_columns(shards_dir, [*texts, "samples"], texts):
        mask = find_text(batch["split"], split)
        if left_out is not None:
            mask = mask & ~left_out[at : at + len(batch)]
        at += len(batch)
        code = np.zeros(len(batch), np.int16) if known is None else _number_languages(batch["language"], mask, known)
        samples = to_numbers(batch["samples"])
        for language in np.unique(code[mask]).tolist():
            chosen = samples[mask & (code == language)]
            total = sums.setdefault(language, _Sums())
            total.utterances += len(chosen)
            total.samples += int(chosen.sum())
            total.frames += int(num_labels(chosen, *rates).sum())
        masks.append(mask)
        if known is not None:
            codes.append(code)
    of_split, languages = _Bits(np.concatenate(masks)), None if known is None else np.concatenate(codes)
    names = [UNKNOWN_LANGUAGE] if known is None else [item or UNKNOWN_LANGUAGE for item in known]
    if known is None:
        sums.setdefault(0, _Sums())
    for language, total in sorted(sums.items()):
        group = Group(name, names[language])
        amounts = (total.utterances, total.samples, total.frames)
        yield _IndexPool(group, number, *amounts, shards_dir, of_split, languages, language)


def _number_languages(column: pa.DictionaryArray, mask: Mask, known: dict[str, int]) -> npt.NDArray[np.int16]:
    """A number for the language of each row, in the order in which the chosen rows have them."""
    names, indices = column.dictionary.to_pylist(), to_numbers(column.indices)
    for index in _find_different(indices[mask]):
        known.setdefault(names[index], len(known))
    found: npt.NDArray[np.int16] = np.array([known.get(name, -1) for name in names], np.int16)[indices]
    return found


def _number_speakers(column: pa.DictionaryArray, counted: Mask, known: dict[str, int]) -> Codes:
    """The number of each speaker, in the order in which the counted rows have them; -1: not known, or not counted."""
    names, indices = column.dictionary.to_pylist(), to_numbers(column.indices, missing=-1)
    number_of = np.full(len(names) + 1, -1, np.int32)  # the last one stands for a name that is missing
    for index in _find_different(indices[counted]):
        if index >= 0 and names[index] not in ("", UNKNOWN_SPEAKER):
            number_of[index] = known.setdefault(names[index], len(known))
    found: Codes = number_of[indices]
    return found


def _find_different(indices: npt.NDArray[np.integer]) -> list[int]:
    """Each number once, in the order in which they come."""
    is_first = np.append(True, indices[1:] != indices[:-1])[: len(indices)]  # of some that stand beside each other
    return list(dict.fromkeys(indices[is_first].tolist()))
