"""`index.parquet`: one row per utterance of a shards folder, with the place of its FLAC in a tar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wavlm.errors import BadDataError
from wavlm.storage.parquet import write_parquet
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


def write_index(shards_dir: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write one row per utterance, in the order of the tars. Keys other than the columns are left out."""
    write_parquet(index_path(shards_dir), pa.Table.from_pylist(rows, schema=INDEX_SCHEMA))


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


def stream_columns(shards_dir: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of the index in batches of rows, for what must not hold a whole column in memory.

    Raises BadDataError as `read_columns`.
    """
    path = index_path(shards_dir)
    check_sealed(path)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _check_schema(file.schema_arrow, path)
            yield from file.iter_batches(columns=list(columns))
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
