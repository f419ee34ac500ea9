"""Open the tables of a corpus that grows, with their form checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from wavlm.corpus.manifest import BATCH_ROWS
from wavlm.errors import BadDataError
from wavlm.storage.passing import refuse_passing

FORMAT = "1"


@contextmanager
def open_table(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetFile]:
    """A table that has these columns. Raises BadDataError (MANIFEST), also for what is read in the block."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            found = file.schema_arrow
            if (found.metadata or {}).get(b"format") != FORMAT.encode() or not found.equals(schema):
                raise unreadable(path, f"found columns {found.names}, expected {schema.names} of format {FORMAT}")
            yield file
    except (OSError, pa.ArrowException, ValueError) as error:
        refuse_passing(error, path)
        raise unreadable(path, str(error)) from error


def stream_table(path: Path, schema: pa.Schema, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Some columns of a table, or all, some rows at a time. Raises as `open_table`."""
    with open_table(path, schema) as file:
        chosen = None if columns is None else list(columns)
        yield from file.iter_batches(BATCH_ROWS, columns=chosen, use_threads=False)


def unreadable(path: Path, what: str) -> BadDataError:
    """The error for a table that is damaged."""
    return BadDataError("MANIFEST", f"cannot be read: {what}; at {path}; make the corpus again")
