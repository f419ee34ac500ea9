"""The first generation of a corpus: from the rows of its parts to its split, its manifest and its history, by columns.

What decides the split is 50 bytes per recording. Everything else stays on the disk, and is copied part by part.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wavlm.corpus.candidates import Candidates, Mask, hash_name
from wavlm.corpus.facts import SplitRule
from wavlm.corpus.growth.history import begin_versions, open_history
from wavlm.corpus.growth.splits import COPY, OVERLAP, TEST, TRAIN, TWICE, VALID, Codes, name_splits
from wavlm.corpus.layouts import UNKNOWN_SPEAKER
from wavlm.corpus.manifest import (
    MANIFEST,
    ManifestRow,
    content_texts,
    microseconds_of,
    open_manifest,
    place_texts,
    rows_of_table,
)
from wavlm.corpus.manifest import SCHEMA as MANIFEST_SCHEMA
from wavlm.corpus.measure import SCHEMA, part_path, read_parts
from wavlm.corpus.split import Parting, all_in_test, part
from wavlm.corpus.sums import Sums
from wavlm.specs import CorpusSpec
from wavlm.storage.texts import find_later, hash_texts

logger = logging.getLogger(__name__)

COLUMNS = ("key", "path", "start_s", "end_s", "channel", "speaker", "sha256", "sample_rate_hz", "num_samples", "given")


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of all parts of a corpus."""

    out: Path
    num_parts: int

    def read(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        return read_parts(self.out, self.num_parts, columns)

    def take(self, mask: Mask) -> list[ManifestRow]:
        """The rows that a mask chooses, (rows,). They are in memory, so they should be few."""
        found: list[ManifestRow] = []
        at = 0
        for number, table in enumerate(self.read()):
            chosen = mask[at : at + len(table)]
            at += len(table)
            if chosen.any():
                some = table.select(MANIFEST_SCHEMA.names).filter(pa.array(chosen))
                found += rows_of_table(some, part_path(self.out, number))
        return found


@dataclass(frozen=True, eq=False)
class Begun:
    """A first generation: the split of each recording, as a number, and how it was chosen."""

    splits: Codes  # (recordings,)
    rule: SplitRule
    below: float


def begin(spec: CorpusSpec, rows: Rows, root: Path) -> Begun:
    """Split the recordings of a corpus. `root`: its folder, for messages.

    Raises BadDataError (CORPUS_EMPTY), and what `wavlm.corpus.split.part` raises.
    """
    columns = _read_columns(rows)
    splits = np.full(len(columns.candidates), TRAIN, np.int8)
    splits[columns.is_test] = TEST
    wanted = np.flatnonzero(~columns.is_test)
    repeats = find_later(columns.regions[wanted])
    splits[wanted[repeats]] = TWICE
    wanted = wanted[~repeats]
    if not len(wanted):
        raise all_in_test(spec.name, int(columns.is_test.sum()), root)

    def read(mask: Mask) -> list[ManifestRow]:
        whole = np.zeros(len(splits), np.bool_)
        whole[wanted[mask]] = True
        return rows.take(whole)

    every = len(wanted) == len(splits)
    made = part(columns.choose(slice(None) if every else wanted, spec), spec, read)  # a slice copies nothing
    splits[wanted] = _number(made)
    return Begun(splits, made.rule, made.below)


def write_begun(spec: CorpusSpec, rows: Rows, begun: Begun, *, with_history: bool) -> Sums:
    """Write the manifest of a first generation, and its history if it may grow, part by part. Returns what it has."""
    is_used = begun.splits <= VALID
    sums = Sums()
    with open_manifest(rows.out / MANIFEST, int(is_used.sum()), spec.name, begun.rule, begun.below) as add:
        for table, splits in _with_splits(rows, begun.splits):
            used = splits <= VALID
            at = MANIFEST_SCHEMA.get_field_index("split")
            parted = table.set_column(at, MANIFEST_SCHEMA.field("split"), name_splits(splits))
            sums.add(parted)
            add(parted.select(MANIFEST_SCHEMA.names).filter(pa.array(used)))
    if with_history:
        with open_history(rows.out, begun.rule, begun.below) as add:
            for table, splits in _with_splits(rows, begun.splits):
                add(begin_versions(table, name_splits(splits)))
    return sums


def _with_splits(rows: Rows, splits: Codes) -> Iterator[tuple[pa.Table, Codes]]:
    at = 0
    for table in rows.read():
        yield table, splits[at : at + len(table)]
        at += len(table)


def _number(made: Parting) -> Codes:
    numbers = np.where(made.is_valid, VALID, TRAIN).astype(np.int8)
    numbers[made.is_copy] = COPY
    numbers[made.overlaps] = OVERLAP
    return numbers


@dataclass(frozen=True, eq=False)
class _Columns:
    """What decides the split, of all recordings."""

    candidates: Candidates
    regions: npt.NDArray[np.uint64]  # equal for recordings of one path and region
    speakers: npt.NDArray[np.int32]  # numbers in `names`
    names: tuple[str, ...]
    is_test: Mask

    def choose(self, rows: npt.NDArray[np.int64] | slice, spec: CorpusSpec) -> Candidates:
        """The candidates with these numbers."""
        every = self.candidates
        numbers = self.speakers[rows]
        listed = (
            np.isin(self.names, spec.valid_speakers) if spec.valid_speakers else np.zeros(len(self.names), np.bool_)
        )
        return Candidates(
            by_speaker=every.by_speaker[rows],
            by_recording=every.by_recording[rows],
            microseconds=every.microseconds[rows],
            contents=every.contents[rows],
            files=every.files[rows],
            is_known=every.is_known[rows],
            is_given=every.is_given[rows],
            is_listed=listed[numbers],
            speakers=tuple(sorted(self.names[number] for number in np.unique(numbers).tolist())),
        )


def _read_columns(rows: Rows) -> _Columns:
    known: dict[str, int] = {}
    hash_of = cache(hash_name)
    parts = [_columns_of(table, known, hash_of) for table in rows.read(COLUMNS)]
    parts = parts or [_columns_of(SCHEMA.empty_table().select(COLUMNS), known, hash_of)]
    whole = {}
    for name in list(parts[0]):  # one after the other: what a column was made of is freed before the next one is made
        whole[name] = np.concatenate([one.pop(name) for one in parts])
    regions, speakers, is_test = (whole.pop(name) for name in ("regions", "speakers", "is_test"))
    nobody = np.zeros(0, np.bool_)
    return _Columns(Candidates(**whole, is_listed=nobody, speakers=()), regions, speakers, tuple(known), is_test)


def _columns_of(table: pa.Table, known: dict[str, int], hash_of: Callable[[str], float]) -> dict[str, Any]:
    """The columns of a part. `known`: numbers of the speakers so far, which grow."""
    coded = table["speaker"].combine_chunks().dictionary_encode()
    names = coded.dictionary.to_pylist()
    codes = coded.indices.to_numpy()
    is_region = np.zeros(len(table), np.bool_)
    for name in ("start_s", "end_s", "channel"):
        is_region |= pc.is_valid(table[name]).to_numpy()
    sha256s, keys = table["sha256"].to_pylist(), table["key"].to_pylist()
    files = zip(is_region.tolist(), sha256s, keys, strict=True)
    by_recording = np.array([hash_name(sha256 if region else key) for region, sha256, key in files], np.float64)
    is_known = np.array([name != UNKNOWN_SPEAKER for name in names], np.bool_)[codes]
    by_name = np.array([hash_of(name) for name in names], np.float64)[codes]
    given = table["given"]
    return {
        "by_speaker": np.where(is_known, by_name, by_recording),
        "by_recording": by_recording,
        "microseconds": microseconds_of(table),
        "contents": hash_texts(content_texts(table)),
        "files": hash_texts(table["sha256"]),
        "is_known": is_known,
        "is_given": pc.fill_null(pc.equal(given, "valid"), False).to_numpy(),  # noqa: FBT003
        "regions": hash_texts(place_texts(table)),
        "speakers": np.array([known.setdefault(name, len(known)) for name in names], np.int32)[codes],
        "is_test": pc.fill_null(pc.equal(given, "test"), False).to_numpy(),  # noqa: FBT003
    }
