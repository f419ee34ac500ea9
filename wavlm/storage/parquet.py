"""Write Parquet tables whole or not at all, with a checksum per page."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from wavlm.storage.files import atomic_path


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table, compressed by zstd. The same table gives the same bytes.

    Raises CannotWriteError if the disk is full or the folder cannot be written.
    """
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
