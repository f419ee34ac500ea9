"""Arrow files of record batches that can each be read alone: temporary tables that travel to workers part by part."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from wavlm.storage.files import atomic_path

# One thread: each further one keeps memory of its own.
WRITING = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
READING = pa.ipc.IpcReadOptions(use_threads=False)


def write_batches(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write batches one after the other. The same batches give the same bytes."""
    with atomic_path(path) as temporary, pa.ipc.new_file(temporary, schema, options=WRITING) as writer:
        for batch in batches:
            writer.write_batch(batch)


def read_batch(path: Path, number: int) -> pa.RecordBatch:
    """One batch of a file that `write_batches` wrote."""
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source, options=READING) as file:
        return file.get_batch(number)


def num_batches(path: Path) -> int:
    """How many batches a file has."""
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source, options=READING) as file:
        return int(file.num_record_batches)
