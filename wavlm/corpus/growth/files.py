"""The files of a folder in every generation: `files.parquet`, a row per version of a file.

`since` is the generation that a version came with, `until` the one that changed or removed the file (null: it is still
there). Versions are read and written some at a time: none of them stays in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavlm.corpus.digests import FileEntry
from wavlm.corpus.growth.tables import FORMAT, stream_table
from wavlm.storage.arrow import from_numbers, to_numbers
from wavlm.storage.parquet import open_parquet

FILES = "files.parquet"
STEP_ROWS = 10_000
SHA256_DIGITS = 64

_SCHEMA = pa.schema(
    [
        pa.field("path", pa.binary(), nullable=False),  # as the system spells it
        pa.field("size", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("since", pa.int32(), nullable=False),
        pa.field("until", pa.int32()),
    ]
)


@dataclass(frozen=True)
class FileVersion:
    """A file of a folder, from one generation on until another."""

    path: str
    size: int
    sha256: str
    since: int
    until: int | None = None

    @property
    def entry(self) -> FileEntry:
        return FileEntry(self.size, self.sha256)

    def is_at(self, generation: int) -> bool:
        """Whether a generation had it."""
        return self.since <= generation and (self.until is None or self.until > generation)


def begin_files(entries: Mapping[str, FileEntry]) -> Iterator[FileVersion]:
    """The files of a first generation."""
    return (FileVersion(path, *entries[path], since=1) for path in sorted(entries))


def follow_files(
    files: Iterable[FileVersion], left: Iterable[str], came: Mapping[str, FileEntry], number: int
) -> Iterator[FileVersion]:
    """The files of generation `number`, from those of the one before. left: what was changed or removed."""
    gone = frozenset(left)
    for item in files:
        yield replace(item, until=number) if item.until is None and item.path in gone else item
    yield from (FileVersion(path, *came[path], since=number) for path in sorted(came))


def files_until(files: Iterable[FileVersion], generation: int) -> Iterator[FileVersion]:
    """All versions that were there by a generation, without what later ones did to them."""
    for item in files:
        if item.since <= generation:
            is_later = item.until is not None and item.until > generation
            yield replace(item, until=None) if is_later else item


def write_files(corpus_dir: Path, versions: Iterable[FileVersion]) -> None:
    """Write `files.parquet`. The same versions give the same bytes. They need not be in memory together."""
    rest = iter(versions)
    with open_parquet(corpus_dir / FILES, _SCHEMA.with_metadata({"format": FORMAT})) as add:
        while some := list(islice(rest, STEP_ROWS)):
            columns = [
                [os.fsencode(item.path) for item in some],
                *([getattr(item, field) for item in some] for field in _SCHEMA.names[1:]),
            ]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
            add(pa.Table.from_arrays(arrays, schema=_SCHEMA))


def stream_files(path: Path) -> Iterator[FileVersion]:
    """The versions of files in a table. Raises BadDataError (MANIFEST) if it is damaged."""
    for batch in stream_table(path, _SCHEMA):
        paths, *others = (column.to_pylist() for column in batch.columns)
        for row in zip(map(os.fsdecode, paths), *others, strict=True):
            yield FileVersion(*row)


def stream_last_files(path: Path) -> Iterator[tuple[bytes, int, str]]:
    """Path, size and sha256 of the files that are still there, in the order of the bytes of their paths.

    In memory they are columns: of a million files 130 MB. Raises BadDataError (MANIFEST).
    """
    paths = pa.concat_arrays([pa.nulls(0, pa.binary()), *_stream_last(path, "path")])
    order = to_numbers(pc.sort_indices(paths))
    sizes = np.empty(len(paths), np.int64)
    sha256s = np.empty(len(paths), f"S{SHA256_DIGITS}")  # or why a file has none, which is shorter
    for name, values in (("size", sizes), ("sha256", sha256s)):
        at = 0
        for column in _stream_last(path, name):
            values[at : at + len(column)] = column.to_pylist() if name == "sha256" else to_numbers(column)
            at += len(column)
    for start in range(0, len(order), STEP_ROWS):
        here = order[start : start + STEP_ROWS]
        columns = (paths.take(from_numbers(here)).to_pylist(), sizes[here].tolist(), sha256s[here].tolist())
        for name_of_file, size, sha256 in zip(*columns, strict=True):
            yield name_of_file, size, sha256.decode()


def _stream_last(path: Path, column: str) -> Iterator[pa.Array]:
    """A column of the files that are still there."""
    return (batch.filter(batch["until"].is_null())[column] for batch in stream_table(path, _SCHEMA, [column, "until"]))


def sum_files(path: Path, latest: int) -> list[int]:
    """The bytes that each generation up to the latest has. Raises BadDataError (MANIFEST)."""
    steps = [0] * (latest + 2)
    for batch in stream_table(path, _SCHEMA, ["size", "since", "until"]):
        for size, since, until in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            steps[since] += size
            steps[latest + 1 if until is None else until] -= size
    totals, total = [], 0
    for number in range(1, latest + 1):
        total += steps[number]
        totals.append(total)
    return totals
