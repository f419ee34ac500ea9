"""Whether an archive that no digest describes has an end: by the marks of its own format.

The digest of a first download is trusted later, so half an archive must not be the first. Where a server says how many
bytes there are, a cut was noticed before. These checks also find a file that was broken where it lies.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from wavlm.errors import BadDataError
from wavlm.specs import HttpsSource
from wavlm.storage.files import CHUNK_BYTES

BLOCK_BYTES = 512
TAR_END_BYTES = 2 * BLOCK_BYTES  # two blocks of zeros (POSIX pax, "end-of-archive indicator")
PARQUET_MARK = b"PAR1"  # first and last bytes of every Parquet file
# Packed streams have checksums at their end. Nothing marks that of a `file`, or of what is encrypted (`.aes`).
_PACKED: dict[str, Callable[[IO[bytes]], IO[bytes] | gzip.GzipFile]] = {
    "gz": lambda file: gzip.GzipFile(fileobj=file),
    "bz2": bz2.open,
    "xz": lzma.open,
}


def check_end(path: Path, source: HttpsSource, announced_bytes: int | None) -> None:
    """Raise BadDataError (TAR_TRUNCATED, TAR_CORRUPT, DL_SIZE) unless an archive is there to its end.

    A packed stream is unpacked once, and nothing of it is kept. `announced_bytes`: what the server or the spec said.
    """
    form = source.packed_as
    packed = "gz" if form == "file" and source.to.endswith(".gz") else form.rpartition(".")[2]
    with _explain(path):
        if form == "tar":
            _check_tar(path)
        elif form == "zip":
            zipfile.ZipFile(path).close()  # its directory is the last thing in a zip
        elif packed in _PACKED:
            _unpack(path, packed)
        elif source.to.endswith(".parquet"):
            _check_parquet(path)
        elif announced_bytes is None:
            raise BadDataError(
                "DL_SIZE",
                f"nobody says how long a {form} file is: not its server, not the spec, not its format; at {path}; give "
                "size_bytes in the corpus spec",
            )


@contextmanager
def _explain(path: Path) -> Iterator[None]:
    """Turn what the archive libraries raise into a BadDataError with a code."""
    try:
        yield
    except (EOFError, zipfile.BadZipFile) as error:
        raise _broken("TAR_TRUNCATED", path, error) from error
    except (zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise _broken("TAR_CORRUPT", path, error) from error
    except OSError as error:
        if error.errno is not None:  # an error of the disk; those of bz2 have no number
            raise
        raise _broken("TAR_CORRUPT", path, error) from error


def _unpack(path: Path, packed: str) -> None:
    with path.open("rb") as file, _PACKED[packed](file) as stream:
        while stream.read(CHUNK_BYTES):
            pass


def _check_tar(path: Path) -> None:
    size = path.stat().st_size
    if size % BLOCK_BYTES or size < TAR_END_BYTES or _tail(path, TAR_END_BYTES) != bytes(TAR_END_BYTES):
        raise BadDataError(
            "TAR_TRUNCATED",
            f"a tar of {size} bytes without an end of archive; at {path}; run again, or ask its publisher",
        )


def _check_parquet(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(len(PARQUET_MARK))
    if head != PARQUET_MARK or _tail(path, len(PARQUET_MARK)) != PARQUET_MARK:
        raise BadDataError(
            "DL_NOT_ARCHIVE", f"no Parquet file: it lacks {PARQUET_MARK!r} at its ends; at {path}; open its address"
        )


def _tail(path: Path, num_bytes: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - num_bytes))
        return file.read(num_bytes)


def _broken(code: str, path: Path, error: Exception) -> BadDataError:
    return BadDataError(code, f"{error}; at {path}; run again, and ask its publisher if it happens twice")
