"""`mirror.pieces`: sha256 of each 2 MiB of the tars of a folder, so that a part of one can be compared, too.

A training in windows reads runs of 8 MB of every tar. It fetches them without the rest, and the digest of a whole tar
says nothing about them. A Parquet file: `name`, and `digests`, one behind the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from wavlm.storage.seals import PIECES_FILE

PIECE_BYTES = 2 << 20
DIGEST_BYTES = hashlib.sha256().digest_size


def hash_in_pieces(path: Path) -> bytes:
    """The digests of the pieces of a file, one behind the other."""
    with path.open("rb") as file:
        return b"".join(hashlib.sha256(piece).digest() for piece in iter(lambda: file.read(PIECE_BYTES), b""))


def write_pieces(path: Path, digests: Mapping[str, bytes]) -> None:
    """Write the table; `digests`: of each tar, by its name."""
    import pyarrow as pa

    from wavlm.storage.parquet import write_parquet

    names = sorted(digests)
    columns = [pa.array(names, pa.string()), pa.array([digests[name] for name in names], pa.binary())]
    write_parquet(path, pa.table(columns, ["name", "digests"]))


def read_pieces(folder: Path) -> Mapping[str, bytes]:
    """The digests of each tar of a folder, by its name; none if it has no table. Raises OSError, ValueError."""
    path = folder / PIECES_FILE
    return _read(path, path.stat().st_mtime_ns) if path.is_file() else {}


def find_wrong(blob: bytes, first: int, digests: bytes) -> int | None:
    """The number of the first piece in these bytes, which begin with piece `first`, that is another one."""
    for at in range(0, len(blob), PIECE_BYTES):
        number = first + at // PIECE_BYTES
        expected = digests[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]
        if hashlib.sha256(blob[at : at + PIECE_BYTES]).digest() != expected:
            return number
    return None


@lru_cache(maxsize=64)
def _read(path: Path, _: int) -> Mapping[str, bytes]:
    import pyarrow.parquet as pq

    names, digests = (column.to_pylist() for column in pq.read_table(path, page_checksum_verification=True).columns)
    return dict(zip(names, digests, strict=True))
