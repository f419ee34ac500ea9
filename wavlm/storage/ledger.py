"""`artifact.ledger`: the files of an artifact that has many, beside its record. A Parquet file, one row per file.

A record with all files of a large corpus in it has 44 MB, and whoever asks for a name or for hours reads all of it. So
the record names the ledger by its sha256, and says how many files it lists and how large they are together.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LEDGER_FILE = "artifact.ledger"  # not `*.parquet`: stages look for files by that


@dataclass(frozen=True)
class SealedFile:
    """One file as it was when the artifact was sealed."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class LedgerNote:
    """What a record says of the ledger beside it."""

    sha256: str
    files: int
    bytes: int  # of all files together


def write_ledger(folder: Path, files: Mapping[str, SealedFile]) -> LedgerNote:
    """Write the ledger of a folder. The same files give the same bytes."""
    import pyarrow as pa

    from wavlm.storage.files import sha256_of
    from wavlm.storage.parquet import write_parquet

    names = sorted(files, key=os.fsencode)
    columns = {
        "name": pa.array(list(map(os.fsencode, names)), pa.binary()),  # as the system spells it
        "sha256": pa.array([bytes.fromhex(files[name].sha256) for name in names], pa.binary(32)),
        "bytes": pa.array([files[name].bytes for name in names], pa.int64()),
    }
    write_parquet(folder / LEDGER_FILE, pa.table(columns))
    return LedgerNote(sha256_of(folder / LEDGER_FILE), len(files), sum(file.bytes for file in files.values()))


def read_ledger(folder: Path, ledger: LedgerNote) -> dict[str, SealedFile]:
    """The files that a ledger lists, by relative path.

    Raises ValueError, saying what is wrong, if it is not the one that its record names. Raises OSError.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    blob = (folder / LEDGER_FILE).read_bytes()
    if (found := hashlib.sha256(blob).hexdigest()) != ledger.sha256:
        raise ValueError(f"its sha256 is {found}, the record says {ledger.sha256}")
    names, sha256s, sizes = (column.to_pylist() for column in pq.read_table(pa.BufferReader(blob)).columns)
    sealed = (SealedFile(sha256.hex(), size) for sha256, size in zip(sha256s, sizes, strict=True))
    return dict(zip(map(os.fsdecode, names), sealed, strict=True))
