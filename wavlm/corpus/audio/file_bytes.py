"""Bytes of an open file by position, and views that a decoder reads as files of their own."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from wavlm.corpus.audio.reason import Reason, refuse

SEARCH_BYTES = 1 << 20

Range = tuple[int, int]  # start and end in the file
Chunk = bytes | Range  # what a view is made of: new bytes, or bytes of the file


@dataclass(frozen=True)
class Inside:
    """A file that lies in an archive, as it is."""

    archive: Path
    offset: int
    size: int
    name: str  # without folders

    def exists(self) -> bool:
        """Whether the archive is there, and long enough."""
        try:
            return self.archive.stat().st_size >= self.offset + self.size
        except OSError:
            return False

    def __str__(self) -> str:
        return f"{self.name} in {self.archive}"


Place: TypeAlias = Path | Inside  # where the bytes of a file are


@dataclass(frozen=True)
class FileBytes:
    """Read access to a regular file, or to one in an archive. Its size does not change while it is read."""

    descriptor: int
    size: int
    name: str  # without folders: messages are the same on every machine
    offset: int = 0  # of the first byte, in what the descriptor reads
    held: bytearray | None = None  # all bytes, if they were read before; there is no descriptor then

    def read(self, start: int, size: int) -> bytes:
        """Up to `size` bytes from `start`; fewer at the end of the file."""
        if self.held is not None:
            return bytes(memoryview(self.held)[start : start + max(size, 0)])
        found, size = b"", min(size, self.size - start)
        while len(found) < size:
            more = os.pread(self.descriptor, size - len(found), self.offset + start + len(found))
            if not more:
                break
            found += more
        return found

    def find(self, pattern: bytes, start: int, end: int | None = None) -> int:
        """The first position of a pattern from `start` on; -1 if there is none before `end`."""
        end = self.size if end is None else end
        for at in range(start, end, SEARCH_BYTES):
            found = self.read(at, min(SEARCH_BYTES + len(pattern) - 1, end - at)).find(pattern)
            if found >= 0:
                return at + found
        return -1

    def is_zero(self, start: int, end: int) -> bool:
        """Whether all bytes of a range are zero."""
        return all(
            not self.read(at, min(SEARCH_BYTES, end - at)).strip(b"\0") for at in range(start, end, SEARCH_BYTES)
        )

    def skip_zeros(self, start: int) -> int:
        """The first position from `start` on whose byte is not zero; the end of the file if there is none."""
        for at in range(start, self.size, SEARCH_BYTES):
            block = self.read(at, SEARCH_BYTES)
            if rest := block.lstrip(b"\0"):
                return at + len(block) - len(rest)
        return self.size


def hold(data: bytearray, name: str) -> FileBytes:
    """Bytes that were read from a file, as if it were open. Raises AudioError for none."""
    if not data:
        raise refuse(Reason.AUDIO_UNREADABLE, "the file has 0 bytes", name)
    return FileBytes(-1, len(data), name, held=data)


def read_pieces(place: Place) -> Iterator[bytes]:
    """The bytes of a file from front to end, in pieces of 1 MiB and a last one."""
    if isinstance(place, Path):
        with place.open("rb", buffering=0) as file:
            while piece := file.read(SEARCH_BYTES):
                yield piece
        return
    with place.archive.open("rb", buffering=0) as file:
        file.seek(place.offset)
        left = place.size
        while left and (piece := file.read(min(left, SEARCH_BYTES))):
            left -= len(piece)
            yield piece


@contextmanager
def open_bytes(place: Place) -> Iterator[FileBytes]:
    """Open a regular file that is not empty. Raises AudioError; a pipe is refused without waiting for a writer."""
    path = place.archive if isinstance(place, Inside) else place
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise refuse(Reason.AUDIO_UNREADABLE, f"it cannot be opened: {error.strerror}", place.name) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise refuse(Reason.AUDIO_UNREADABLE, "it is no regular file", place.name)
        size, offset = (place.size, place.offset) if isinstance(place, Inside) else (status.st_size, 0)
        if size == 0:
            raise refuse(Reason.AUDIO_UNREADABLE, "the file has 0 bytes", place.name)
        yield FileBytes(descriptor, size, place.name, offset)
    finally:
        os.close(descriptor)


class View(io.RawIOBase):
    """A file made of ranges of another file and of new bytes, such as a corrected header.

    A decoder calls it from C, where an exception would be lost. An error of the disk is kept in `error` instead.
    """

    def __init__(self, data: FileBytes, chunks: Sequence[Chunk]) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._data = data
        self._chunks = chunks
        self._position = 0
        self.size = sum(_num_bytes(chunk) for chunk in chunks)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence])
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes; none at the end, or if the disk fails."""
        wanted = max(0, self.size - self._position)
        wanted = wanted if size is None or size < 0 else min(size, wanted)
        try:
            block = b"".join(self._pieces(self._position, self._position + wanted))
        except OSError as error:
            self.error = error
            return b""
        self._position += len(block)
        return block

    def readinto(self, buffer: object) -> int:
        """Like `read`, into a buffer; the number of bytes."""
        target = memoryview(buffer)  # type: ignore[arg-type]  # the base class says object
        block = self.read(len(target))
        target[: len(block)] = block
        return len(block)

    def _pieces(self, start: int, end: int) -> Iterator[bytes]:
        at = 0
        for chunk in self._chunks:
            size = _num_bytes(chunk)
            first, last = max(start - at, 0), min(end - at, size)
            if first < last:
                if isinstance(chunk, bytes):
                    yield chunk[first:last]
                else:
                    yield self._data.read(chunk[0] + first, last - first)
            at += size


def _num_bytes(chunk: Chunk) -> int:
    return len(chunk) if isinstance(chunk, bytes) else chunk[1] - chunk[0]
