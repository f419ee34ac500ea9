"""What a stage knows of its own files: digests computed while they were written, and files that it leaves out.

A stage notes them in its folder, and sealing believes the note: no byte is read a second time. The note is removed
before the folder is sealed. A file whose size is not the noted one is read all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

NOTE = ".known.sha256"  # has the ending of the notes that are removed before a folder is sealed


class KnownFile(NamedTuple):
    """One file of a folder."""

    name: str  # relative to the folder
    sha256: str
    bytes: int
    is_left_out: bool = False  # it belongs to the folder, and was not written: its bytes lie elsewhere


def note_known(folder: Path, files: Iterable[KnownFile]) -> None:
    """Note what is known of the files of a folder. An earlier note is replaced."""
    import pyarrow as pa  # imported here because most that seal folders note nothing

    from wavlm.storage.parquet import write_parquet

    columns = list(zip(*files, strict=True)) or [() for _ in KnownFile._fields]
    write_parquet(folder / NOTE, pa.table(dict(zip(KnownFile._fields, map(list, columns), strict=True))))


def forget_known(folder: Path) -> None:
    """Remove the note of an earlier attempt."""
    (folder / NOTE).unlink(missing_ok=True)


def read_known(folder: Path) -> Mapping[str, KnownFile]:
    """What a stage noted, by name; nothing if it noted nothing."""
    if not (folder / NOTE).exists():
        return {}
    import pyarrow.parquet as pq

    table = pq.read_table(folder / NOTE)
    rows = zip(*(table[name].to_pylist() for name in KnownFile._fields), strict=True)
    return {row[0]: KnownFile(*row) for row in rows}
