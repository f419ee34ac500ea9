"""Read Debian packages: an `ar` archive whose member data.tar.* holds the files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from wavlm.corpus.unpack.members import Limits, Member
from wavlm.corpus.unpack.tar import stream_members
from wavlm.errors import BadDataError

MAGIC = b"!<arch>\n"
HEADER_BYTES = 60
COMPRESSIONS = {
    "data.tar": "tar",
    "data.tar.gz": "tar.gz",
    "data.tar.bz2": "tar.bz2",
    "data.tar.xz": "tar.xz",
    "data.tar.zst": "tar.zst",
}


class _FileSlice(io.RawIOBase):
    """The next `size` bytes of a file as a stream."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # io passes this
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


def deb_members(package: Path, limits: Limits) -> Iterator[Member]:
    """Members of a package's data.tar, with any of the usual compressions."""
    cap = limits.total_for(package.stat().st_size)
    with package.open("rb") as file:
        name, size = _find_data(file, package)
        stream = io.BufferedReader(_FileSlice(file, size))
        yield from stream_members(stream, COMPRESSIONS[name], cap, f"{name} of {package.name}", limits)


def _find_data(file: IO[bytes], package: Path) -> tuple[str, int]:
    """Name and size of the data member. Afterwards the file is at its first byte."""
    if file.read(len(MAGIC)) != MAGIC:
        raise BadDataError("DL_NOT_ARCHIVE", f"this is not a Debian package; at {package}; fetch it again")
    while header := file.read(HEADER_BYTES):
        size = header[48:58].decode("ascii", "replace").strip()
        if len(header) < HEADER_BYTES or header[58:] != b"`\n" or not size.isdigit():
            raise BadDataError("TAR_CORRUPT", f"a broken header; at {package}; fetch it again")
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        if name in COMPRESSIONS:
            _require_bytes(file, int(size), package)
            return name, int(size)
        file.seek(int(size) + int(size) % 2, io.SEEK_CUR)  # members start at even offsets
    raise BadDataError("TAR_TRUNCATED", f"no data.tar; at {package}; fetch it again")


def _require_bytes(file: IO[bytes], size: int, package: Path) -> None:
    there_is = package.stat().st_size - file.tell()
    if there_is < size:
        raise BadDataError("TAR_TRUNCATED", f"{there_is} of {size} bytes of data; at {package}; fetch it again")
