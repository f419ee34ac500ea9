"""The utterances that a codebook's sample is drawn from: those of a corpus, or of a language of it, each a pool.

A pool knows its sums. What else is wanted is read from the index when it is wanted, and only a few bytes per utterance
are in memory: 30 million utterances take 0.3 GB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wavlm.corpus.layouts import UNKNOWN_SPEAKER
from wavlm.labels.quotas import Integers
from wavlm.labels.turns import Codes
from wavlm.shards import find_copies_of_valid, stream_columns, take_rows
from wavlm.specs import UNKNOWN_LANGUAGE, Group
from wavlm.specs.shapes import num_labels
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


@dataclass(frozen=True, eq=False)
class _IndexPool:
    """Rows of the index of a shards folder."""

    group: Group
    folder: int
    num_samples: int
    num_frames: int
    shards_dir: Path
    of_split: Mask  # (rows,)
    languages: npt.NDArray[np.int16] | None  # a number for the language of each row
    language: int

    @property
    def _mask(self) -> Mask:
        return self.of_split if self.languages is None else self.of_split & (self.languages == self.language)

    def read_speakers(self) -> Codes:
        return _read_speakers(self.shards_dir, self.of_split, self._mask)

    def read_samples(self, utterances: Integers) -> Integers:
        found: Integers = take_rows(self.shards_dir, ["samples"], self.find_rows(utterances))["samples"].to_numpy()
        return found

    def find_rows(self, utterances: Integers) -> Integers:
        return find_true(self._mask, utterances)


@dataclass
class _Sums:
    samples: int = 0
    frames: int = 0


def read_pools(
    shards_dirs: Sequence[Path], names: Sequence[str], split: str, rate_hz: int, *, languages: bool = False
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
            pools += _read_folder(shards_dir, number, name, split, rate_hz, left_out, known if languages else None)
    return Pools(tuple(shards_dirs), tuple(pools), sum(int(mask.sum()) for mask in copies))


def find_true(mask: Mask, numbers: Integers) -> Integers:
    """Where the trues with these numbers are in a mask."""
    counts = [np.count_nonzero(mask[start : start + STEP]) for start in range(0, len(mask), STEP)]
    before = np.cumsum([0, *counts])
    step = np.searchsorted(before, numbers, side="right") - 1
    found = np.empty(len(numbers), np.int64)
    for number in np.unique(step).tolist():
        here = step == number
        first = number * STEP
        found[here] = first + np.flatnonzero(mask[first : first + STEP])[numbers[here] - before[number]]
    return found


def _read_folder(  # noqa: PLR0913, PLR0917  all that a pool is told
    shards_dir: Path,
    number: int,
    name: str,
    split: str,
    rate_hz: int,
    left_out: Mask | None,
    known: dict[str, int] | None,
) -> Iterator[Pool]:
    """The pools of a corpus. `known`: numbers of the languages so far, which grow; None: they do not matter."""
    sums: dict[int, _Sums] = {}
    masks, codes = [np.zeros(0, np.bool_)], [np.zeros(0, np.int16)]
    at = 0
    for batch in stream_columns(shards_dir, ["split", "samples", *(["language"] if known is not None else [])]):
        mask = pc.equal(batch["split"], split).to_numpy(zero_copy_only=False)
        if left_out is not None:
            mask = mask & ~left_out[at : at + len(batch)]
        at += len(batch)
        code = np.zeros(len(batch), np.int16) if known is None else _number_languages(batch["language"], mask, known)
        samples = batch["samples"].to_numpy()
        for language in np.unique(code[mask]).tolist():
            chosen = samples[mask & (code == language)]
            total = sums.setdefault(language, _Sums())
            total.samples += int(chosen.sum())
            total.frames += int(num_labels(chosen, rate_hz).sum())
        masks.append(mask)
        if known is not None:
            codes.append(code)
    of_split, languages = np.concatenate(masks), None if known is None else np.concatenate(codes)
    names = [UNKNOWN_LANGUAGE] if known is None else [item or UNKNOWN_LANGUAGE for item in known]
    if known is None:
        sums.setdefault(0, _Sums())
    for language, total in sorted(sums.items()):
        group = Group(name, names[language])
        yield _IndexPool(group, number, total.samples, total.frames, shards_dir, of_split, languages, language)


def _number_languages(column: pa.StringArray, mask: Mask, known: dict[str, int]) -> npt.NDArray[np.int16]:
    """A number for the language of each row, in the order in which the chosen rows have them."""
    for name in pc.unique(column.filter(pa.array(mask))).to_pylist():
        known.setdefault(name, len(known))
    coded = column.dictionary_encode()
    number_of = np.array([known.get(name, -1) for name in coded.dictionary.to_pylist()], np.int16)
    found: npt.NDArray[np.int16] = number_of[coded.indices.to_numpy()]
    return found


def _read_speakers(shards_dir: Path, counted: Mask, chosen: Mask) -> Codes:
    """Numbers of the speakers of the chosen rows, in the order in which the counted ones have them.

    Those that are not known come behind, so that one has the same number whatever else is chosen.
    """
    found = np.empty(int(chosen.sum()), np.int32)
    known: dict[str, int] = {}
    at = row = num_unknown = 0
    number = partial(_number_speakers, known=known)
    for batch in stream_columns(shards_dir, ["speaker"], dictionaries=["speaker"]):
        here, wanted = counted[row : row + len(batch)], chosen[row : row + len(batch)]
        row += len(batch)
        codes = number(batch["speaker"].filter(pa.array(here)))
        is_unknown = codes < 0
        places = np.arange(num_unknown, num_unknown := num_unknown + int(is_unknown.sum()), dtype=np.int32)
        codes[is_unknown] = -1 - places
        codes = codes[wanted[here]]
        found[at : at + len(codes)] = codes
        at += len(codes)
    is_unknown = found < 0
    found[is_unknown] = len(known) - 1 - found[is_unknown]
    return found


def _number_speakers(column: pa.DictionaryArray, known: dict[str, int]) -> Codes:
    """The number of each speaker; -1: not known."""
    indices = column.indices.fill_null(-1).to_numpy()
    there, first = np.unique(indices, return_index=True)
    names = column.dictionary.to_pylist()
    number_of = np.full(len(names) + 1, -1, np.int32)  # the last one stands for a name that is missing
    for index in there[np.argsort(first)].tolist():
        if index >= 0 and names[index] not in ("", UNKNOWN_SPEAKER):
            number_of[index] = known.setdefault(names[index], len(known))
    found: Codes = number_of[indices]
    return found
