"""What a folder and its corpus were in every generation: `files.parquet` and `history.parquet`, row by row.

A row is one version of a file or of a recording: `since` is the generation that it came with, `until` the one that
changed or removed it (null: it is still there). So the state of each generation can be read from the last one's tables,
and the tables of an earlier generation are these without what came later.

`history.parquet` has these columns, in the order in which the versions came:

| column | |
|---|---|
| key, path, start_s, end_s, channel, speaker, size_bytes, sha256, sample_rate_hz, num_samples | as in the manifest |
| split | `train` or `valid`, or why the recording is in neither: TEST_SPLIT, COPY_OF_VALID, COPY_OF_TRAIN |
| row | a digest of all that the layout says about the recording, its text and phones too |
| generation | that has a place for it in its parts of shards: that of its first version |
| since, until | |

A recording that is changed keeps its place: it is a further version of the same key and generation. One that was
removed and came back has a new place, in the generation that it came back with.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wavlm.corpus.facts import SplitRule
from wavlm.corpus.layouts import path_from_text, path_to_text
from wavlm.corpus.manifest import BATCH_ROWS, Content
from wavlm.errors import BadDataError
from wavlm.storage.parquet import AddRows, open_parquet
from wavlm.storage.seals import check_sealed

HISTORY, FILES = "history.parquet", "files.parquet"
USED = ("train", "valid")  # splits of the manifest
FORMAT = "1"
STEP_ROWS = 10_000

T = TypeVar("T")

_FILES = pa.schema(
    [
        pa.field("path", pa.binary(), nullable=False),  # as the system spells it
        pa.field("size", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("since", pa.int32(), nullable=False),
        pa.field("until", pa.int32()),
    ]
)
_HISTORY = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("channel", pa.int16()),
        pa.field("speaker", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("sample_rate_hz", pa.int32(), nullable=False),
        pa.field("num_samples", pa.int64(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
        pa.field("generation", pa.int32(), nullable=False),
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


@dataclass(frozen=True)
class Version:
    """A recording, from one generation on until another. Rate and samples are -1 if the file cannot be read."""

    key: str
    path: str
    start_s: float | None
    end_s: float | None
    channel: int | None
    speaker: str
    split: str
    size_bytes: int
    sha256: str
    sample_rate_hz: int
    num_samples: int
    row: str
    generation: int
    since: int
    until: int | None = None

    @property
    def content(self) -> Content:
        """What tells equal recordings: the bytes of the file, and the region of it."""
        return Content(self.sha256, self.start_s, self.end_s, self.channel)

    @property
    def is_used(self) -> bool:
        """Whether it is in the manifest."""
        return self.split in USED

    @property
    def is_region(self) -> bool:
        """Whether it is a part of its file; else it is the file."""
        return not (self.start_s is None and self.end_s is None and self.channel is None)

    @property
    def seconds(self) -> float:
        """Duration; 0 if it is not known."""
        return max(0, self.num_samples) / max(1, self.sample_rate_hz)

    @property
    def microseconds(self) -> int:
        """The duration as an integer, so that sums are exact."""
        return round(1e6 * self.seconds)


@dataclass(frozen=True)
class History:
    """All versions of the recordings of a corpus, in the order in which they came, and how new ones are split."""

    versions: tuple[Version, ...]
    rule: SplitRule
    below: float

    def at(self, generation: int) -> list[Version]:
        """The recordings of one generation."""
        return at(self.versions, generation)

    def until(self, generation: int) -> History:
        """The history as an earlier generation had it."""
        return replace(self, versions=tuple(until(self.versions, generation)))


V = TypeVar("V", FileVersion, Version)


def at(versions: Iterable[V], generation: int) -> list[V]:
    """The versions that a generation had."""
    return [item for item in versions if item.since <= generation and (item.until is None or item.until > generation)]


def until(versions: Iterable[V], generation: int) -> list[V]:
    """All versions that were there by a generation, without what later ones did to them."""
    known = (item for item in versions if item.since <= generation)
    return [replace(item, until=None) if item.until is not None and item.until > generation else item for item in known]


def write_history(corpus_dir: Path, history: History) -> None:
    """Write `history.parquet`. The same history gives the same bytes."""
    with open_history(corpus_dir, history.rule, history.below) as add:
        rows = ({**asdict(item), "path": path_to_text(item.path)} for item in history.versions)
        for some in _some_at_a_time(rows):
            add(pa.Table.from_pylist(some, schema=_HISTORY))


@contextmanager
def open_history(corpus_dir: Path, rule: SplitRule, below: float) -> Iterator[AddRows]:
    """Write `history.parquet`, of which the caller adds some versions at a time."""
    metadata = {"format": FORMAT, "split_rule": rule, "split_below": repr(below)}
    with open_parquet(corpus_dir / HISTORY, _HISTORY.with_metadata(metadata)) as add:
        yield add


def begin_versions(rows: pa.Table, splits: pa.Array) -> pa.Table:
    """The first versions of recordings that come with the first generation. splits: of each, or why it is in none."""
    count = len(rows)
    ones, nothing = pa.array(np.ones(count, np.int32)), pa.nulls(count, pa.int32())
    made = {"split": splits, "generation": ones, "since": ones, "until": nothing}
    columns = [made[name] if name in made else rows[name] for name in _HISTORY.names]
    return pa.table(columns, schema=_HISTORY)


def num_versions(corpus_dir: Path) -> int:
    """The number of versions of recordings in a corpus' folder. Raises BadDataError (MANIFEST) if it is damaged."""
    path = corpus_dir / HISTORY
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _unreadable(path, str(error)) from error


def stream_places(corpus_dir: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch] | None:
    """Some columns of the first version of every recording that ever was in a split, some rows at a time.

    None if the corpus has no history, because it is made of archives. Parts of shards are planned by these.
    Raises BadDataError: MANIFEST if it is damaged, CHECKSUM if it is not the one that was sealed.
    """
    path = corpus_dir / HISTORY
    check_sealed(path)
    return _stream_places(path, columns) if path.is_file() else None


def _stream_places(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    wanted = [*columns, *(name for name in ("split", "since", "generation") if name not in columns)]
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            _check_form(file.schema_arrow, _HISTORY, path)
            for batch in file.iter_batches(BATCH_ROWS, columns=wanted, use_threads=False):
                is_used = pc.is_in(batch["split"], value_set=pa.array(USED))
                is_first = pc.equal(batch["since"], batch["generation"])
                yield batch.filter(pc.and_(is_used, is_first)).select(list(columns))
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _unreadable(path, str(error)) from error


def parse_history(path: Path) -> History:
    """The history in a file. Raises BadDataError (MANIFEST) if it is damaged."""
    table = _read(path, _HISTORY)
    metadata = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
    rows = ({**row, "path": path_from_text(row["path"])} for row in table.to_pylist())
    rule: SplitRule = metadata["split_rule"]
    return History(tuple(Version(**row) for row in rows), rule, float(metadata["split_below"]))


def write_files(corpus_dir: Path, versions: Iterable[FileVersion]) -> None:
    """Write `files.parquet`. The same versions give the same bytes. They need not be in memory together."""
    with open_parquet(corpus_dir / FILES, _FILES.with_metadata({"format": FORMAT})) as add:
        for some in _some_at_a_time(versions):
            columns = [
                [os.fsencode(item.path) for item in some],
                *([getattr(item, field) for item in some] for field in _FILES.names[1:]),
            ]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, _FILES, strict=True)]
            add(pa.Table.from_arrays(arrays, schema=_FILES))


def _some_at_a_time(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, STEP_ROWS)):
        yield some


def parse_files(path: Path) -> list[FileVersion]:
    """The versions of files in a file. Raises BadDataError (MANIFEST) if it is damaged."""
    paths, *others = (column.to_pylist() for column in _read(path, _FILES).columns)
    return [FileVersion(*row) for row in zip(map(os.fsdecode, paths), *others, strict=True)]


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            table = file.read()
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    _check_form(table.schema, schema, path)
    return table


def _check_form(found: pa.Schema, expected: pa.Schema, path: Path) -> None:
    if (found.metadata or {}).get(b"format") != FORMAT.encode() or not found.equals(expected):
        raise _unreadable(path, f"found columns {found.names}, expected {expected.names} of format {FORMAT}")


def _unreadable(path: Path, what: str) -> BadDataError:
    return BadDataError("MANIFEST", f"cannot be read: {what}; at {path}; make the corpus again")
