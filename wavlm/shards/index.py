"""`index.parquet`: one row per utterance of a shards folder, with the place of its FLAC in a tar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wavlm.errors import BadDataError
from wavlm.storage.arrow import find_text, from_mask, from_numbers
from wavlm.storage.parquet import open_parquet
from wavlm.storage.passing import refuse_passing
from wavlm.storage.seals import check_sealed

# Where a piece of an utterance comes from: the first 64 bits of the sha256 of its file, and samples at 16 kHz of it.
_ORIGIN = {"file": pa.uint64(), "channel": pa.int16(), "start": pa.int64(), "stop": pa.int64()}
INDEX_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("shard", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("samples", pa.int64()),
        ("speaker", pa.string()),
        ("split", pa.string()),
        ("sha256", pa.string()),
        ("language", pa.string()),
        ("origins", pa.list_(pa.struct(list(_ORIGIN.items())))),
    ]
)
IN_MEMORY = tuple(name for name in INDEX_SCHEMA.names if name != "origins")  # what `Index` holds

# What pyarrow raises for damage; text that is no UTF-8 is a ValueError.
_UNREADABLE = (OSError, pa.ArrowException, ValueError, KeyError)

BATCH_ROWS = 1 << 14  # of what is read at a time: a MB per column

Strings = NDArray[np.object_]
Integers = NDArray[np.int64]


def index_path(shards_dir: Path) -> Path:
    """The path of the index."""
    return shards_dir / "index.parquet"


@dataclass(frozen=True, eq=False)
class Index:
    """The columns of the index but `origins`: each has one entry per utterance, in the order of the tars."""

    keys: Strings
    shards: Strings
    offsets: Integers  # of the FLAC member's content in the tar
    sizes: Integers  # bytes of the FLAC
    samples: Integers
    speakers: Strings
    splits: Strings
    sha256s: Strings  # of the FLAC
    languages: Strings  # as the publisher writes it; empty: not known

    def __len__(self) -> int:
        return len(self.keys)

    def rows_of(self, split: str) -> Integers:
        """Numbers of the rows of a split, in order."""
        return np.flatnonzero(self.splits == split).astype(np.int64)


@contextmanager
def open_index(shards_dir: Path) -> Iterator[Callable[[str, pa.Table], None]]:
    """Write the index: the caller adds the utterances of each tar, in the order of the tars, with its name.

    Columns that the index does not have are left out. The index appears when the block ends without an error.
    """

    def add_shard(shard: str, utterances: pa.Table) -> None:
        names = pa.array([shard]).dictionary_encode().take(pa.array(np.zeros(len(utterances), np.int32)))
        whole = utterances.append_column("shard", names.cast(pa.string()))
        add(whole.select(INDEX_SCHEMA.names).cast(INDEX_SCHEMA))

    with open_parquet(index_path(shards_dir), INDEX_SCHEMA) as add:
        yield add_shard


def read_index(shards_dir: Path) -> Index:
    """The index of a shards folder; raises BadDataError if it is missing or damaged."""
    table = read_columns(shards_dir, IN_MEMORY)
    try:
        return Index(
            keys=_strings(table["key"]),
            shards=_strings(table["shard"].dictionary_encode()),
            offsets=table["offset"].to_numpy(),
            sizes=table["size"].to_numpy(),
            samples=table["samples"].to_numpy(),
            speakers=_strings(table["speaker"].dictionary_encode()),
            splits=_strings(table["split"].dictionary_encode()),
            sha256s=_strings(table["sha256"]),
            languages=_strings(table["language"].dictionary_encode()),
        )
    except _UNREADABLE as error:
        raise _unreadable(index_path(shards_dir), error) from error


def read_columns(shards_dir: Path, columns: Sequence[str], split: str | None = None) -> pa.Table:
    """Some columns of the index, as an Arrow table: one row per utterance, of one split if it is given.

    Takes less memory than `read_index`: strings stay in Arrow's buffers.
    Raises BadDataError if the index is missing or damaged, or has other columns than `INDEX_SCHEMA`.
    """
    path = index_path(shards_dir)
    check_sealed(path)
    filters = None if split is None else [("split", "==", split)]
    try:
        _check_schema(pq.read_schema(path), path)
        return pq.read_table(path, columns=list(columns), filters=filters, page_checksum_verification=True)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def stream_columns(
    shards_dir: Path, columns: Sequence[str], dictionaries: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Some columns of the index in batches of rows, for what must not hold a whole column in memory.

    dictionaries: columns whose texts come as numbers and the few texts that there are.
    Raises BadDataError as `read_columns`.
    """
    with _open(shards_dir, dictionaries) as file:
        yield from file.iter_batches(BATCH_ROWS, columns=list(columns), use_threads=False)


def stream_split(
    shards_dir: Path, columns: Sequence[str], split: str, dictionaries: Sequence[str] = ()
) -> Iterator[tuple[Integers, pa.RecordBatch]]:
    """Like `stream_columns`, the rows of one split, with their numbers. Row groups that have none are not read."""
    with _open(shards_dir, ["split", *dictionaries]) as file:
        first = 0
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            at, first = first, first + group.num_rows
            if not _may_have(group, split):
                continue
            for batch in file.iter_batches(BATCH_ROWS, [number], ["split", *columns], use_threads=False):
                is_here = find_text(batch["split"], split)
                rows = at + np.flatnonzero(is_here)
                at += len(batch)
                chosen = batch.select(list(columns))
                yield rows, chosen if is_here.all() else chosen.filter(from_mask(is_here))


def _may_have(group: pq.RowGroupMetaData, split: str) -> bool:
    """Whether a row group may have a row of a split, by the smallest and largest one that it has."""
    column = next(group.column(at) for at in range(group.num_columns) if group.column(at).path_in_schema == "split")
    found = column.statistics
    return found is None or not found.has_min_max or found.min <= split <= found.max


def take_rows(shards_dir: Path, columns: Sequence[str], rows: Integers) -> pa.Table:
    """Some columns of the rows with these numbers, in their order. Only row groups that have some are read.

    Raises BadDataError as `read_columns`.
    """
    order = np.argsort(rows, kind="stable")
    wanted = rows[order]
    found: list[pa.RecordBatch] = []
    with _open(shards_dir) as file:
        first = 0
        for group in range(file.num_row_groups):
            last = first + file.metadata.row_group(group).num_rows
            if np.searchsorted(wanted, first) < np.searchsorted(wanted, last):
                for batch in file.iter_batches(BATCH_ROWS, [group], list(columns), use_threads=False):
                    low, high = np.searchsorted(wanted, [first, first + len(batch)])
                    found.append(batch.take(from_numbers(wanted[low:high] - first)))
                    first += len(batch)
            first = last
    schema = pa.schema([INDEX_SCHEMA.field(name) for name in columns])
    back = np.empty(len(rows), np.int64)
    back[order] = np.arange(len(rows))
    return pa.Table.from_batches(found, schema).take(from_numbers(back))


@contextmanager
def _open(shards_dir: Path, dictionaries: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    path = index_path(shards_dir)
    check_sealed(path)
    try:
        _check_schema(pq.read_schema(path), path)
        # pre_buffer would keep all that was read of the file in memory.
        with pq.ParquetFile(
            path, read_dictionary=list(dictionaries), page_checksum_verification=True, pre_buffer=False
        ) as file:
            yield file
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _check_schema(schema: pa.Schema, path: Path) -> None:
    if schema.remove_metadata() != INDEX_SCHEMA:
        raise BadDataError(
            "INDEX_SCHEMA",
            f"found columns {schema.names}, expected {INDEX_SCHEMA.names}; at {path}; make the shards again",
        )


def _unreadable(path: Path, error: Exception) -> BadDataError:
    refuse_passing(error, path)
    return BadDataError("INDEX_UNREADABLE", f"{error}; at {path}; make the shards again")


def num_utterances(shards_dir: Path) -> int:
    """Number of rows of the index. Decodes only the end of the file. Raises BadDataError as `read_columns`."""
    path = index_path(shards_dir)
    check_sealed(path)
    try:
        return int(pq.read_metadata(path).num_rows)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _strings(column: Any) -> Strings:
    """A column as an object array. Rows of a dictionary-encoded column share a few string objects."""
    if not pa.types.is_dictionary(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)
    whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if not len(whole):
        return np.empty(0, dtype=object)
    names = np.array(whole.dictionary.to_pylist(), dtype=object)
    chosen: Strings = names[whole.indices.to_numpy()]
    return chosen
