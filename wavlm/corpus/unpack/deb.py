"""Read Debian packages: an `ar` archive whose member data.tar.* holds the files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

from wavlm.corpus.unpack.members import UNKNOWN, Limits, Member
from wavlm.corpus.unpack.tar import stream_members
from wavlm.errors import BadDataError
from wavlm.storage.files import CHUNK_BYTES

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


def deb_members(file: IO[bytes], package: Path, limits: Limits) -> Iterator[Member]:
    """Members of a package's data.tar, with any of the usual compressions. `file` is at the start of the package."""
    cap = limits.total_for(package.stat().st_size)
    name, size = _find_data(file, package)
    stream = io.BufferedReader(_FileSlice(file, size))
    for member in stream_members(stream, COMPRESSIONS[name], cap, f"{name} of {package.name}", limits):
        yield replace(member, offset=UNKNOWN)  # it is that in the data.tar


def _find_data(file: IO[bytes], package: Path) -> tuple[str, int]:
    """Name and size of the data member. Afterwards the file is at its first byte."""
    if file.read(len(MAGIC)) != MAGIC:
        raise BadDataError("DL_NOT_ARCHIVE", f"this is not a Debian package; at {package}; fetch it again")
    at = len(MAGIC)
    while header := file.read(HEADER_BYTES):
        size = header[48:58].decode("ascii", "replace").strip()
        if len(header) < HEADER_BYTES or header[58:] != b"`\n" or not size.isdigit():
            raise BadDataError("TAR_CORRUPT", f"a broken header; at {package}; fetch it again")
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        at += HEADER_BYTES
        if name in COMPRESSIONS:
            _require_bytes(at, int(size), package)
            return name, int(size)
        at += _skip(file, int(size) + int(size) % 2)  # members start at even offsets
    raise BadDataError("TAR_TRUNCATED", f"no data.tar; at {package}; fetch it again")


def _skip(file: IO[bytes], size: int) -> int:
    """Read over some bytes: a stream cannot seek. Returns how many there were."""
    left = size
    while left and (data := file.read(min(left, CHUNK_BYTES))):
        left -= len(data)
    return size - left


def _require_bytes(at: int, size: int, package: Path) -> None:
    there_is = package.stat().st_size - at
    if there_is < size:
        raise BadDataError("TAR_TRUNCATED", f"{there_is} of {size} bytes of data; at {package}; fetch it again")
