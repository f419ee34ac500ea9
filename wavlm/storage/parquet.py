"""Write Parquet tables whole or not at all, with a checksum per page; long ones row group by row group."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from wavlm.storage.files import atomic_path

# What a writer holds in memory, twice: 8 MB with 250 bytes per row. A table of fewer rows has one row group, as it has
# when pyarrow writes it.
GROUP_ROWS = 1 << 15

M_MMAP_THRESHOLD = -3  # malloc.h
LARGE_BYTES = 1 << 18

AddRows = Callable[[pa.Table], None]


@contextmanager
def lean_memory() -> Iterator[None]:
    """Let Arrow take its memory from the system in this block, which gets it back at once.

    Its own allocator keeps what was freed for later: with streams of batches, 100 MB that nobody uses. As `one_thread`
    of PyTorch, this holds for the whole process, and changes no result.
    """
    _map_large_blocks()
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.system_memory_pool().release_unused()  # also what lies between what is still in use
        pa.set_memory_pool(before)


def _map_large_blocks() -> None:
    """Let glibc give each large block pages of its own, which go back when the block is freed.

    Once such a block was freed it would take the next ones from its heap, and keep 64 MB of that. Elsewhere: nothing.
    """
    libc = ctypes.CDLL(None)
    if sys.platform.startswith("linux") and hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table, compressed by zstd. The same table gives the same bytes, also as by `open_parquet`.

    Raises CannotWriteError if the disk is full or the folder cannot be written.
    """
    with open_parquet(path, table.schema) as add:
        add(table)


@contextmanager
def open_parquet(path: Path, schema: pa.Schema) -> Iterator[AddRows]:
    """Write a table of which the caller adds some rows at a time. It appears when the block ends without an error.

    The bytes depend on the rows alone, not on how many were added at a time. Raises as `write_parquet`.
    """
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        groups = _Groups(writer, schema)
        yield groups.add
        groups.finish()


class _Groups:
    """Rows on their way into row groups of `GROUP_ROWS`."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._writer = writer
        self._schema = schema
        self._waiting: list[pa.Table] = []
        self._num_waiting = self._num_written = 0

    def add(self, rows: pa.Table) -> None:
        while self._num_waiting + len(rows) >= GROUP_ROWS:
            room = GROUP_ROWS - self._num_waiting
            self._waiting.append(rows.slice(0, room))
            self._write()
            rows = rows.slice(room)
        if len(rows):
            self._waiting.append(rows)
            self._num_waiting += len(rows)

    def finish(self) -> None:
        if self._num_waiting or not self._num_written:
            self._write()

    def _write(self) -> None:
        table = pa.concat_tables(self._waiting) if self._waiting else self._schema.empty_table()
        # In one piece, because pages end where pieces end. The metadata are those of the file.
        whole = table.replace_schema_metadata(self._schema.metadata).combine_chunks()
        self._writer.write_table(whole, row_group_size=GROUP_ROWS)
        self._num_written += len(whole)
        self._waiting, self._num_waiting = [], 0
