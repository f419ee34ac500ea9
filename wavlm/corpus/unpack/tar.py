"""Read members of tar archives from front to end, and detect archives that are cut or damaged.

`tarfile` has two weaknesses. It stops without an error at a damaged header and at a cut on a 512-byte boundary.
And it reads extended headers of any size at once. So it reads through `ForwardStream`, which limits every read
and the sum of all reads, and keeps the last block. A complete archive ends with a block of zeros.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol, cast

import pyarrow as pa

from wavlm.corpus.unpack.members import MIB, UNKNOWN, Limits, Member, bomb_error
from wavlm.errors import BadDataError
from wavlm.storage.files import CHUNK_BYTES

BLOCK_BYTES = 512
# The first bytes of formats, as far as they are known without a header: what a wrong password does not give.
MAGIC = {"tar.gz": b"\x1f\x8b", "file.gz": b"\x1f\x8b", "tar.xz": b"\xfd7zXZ\x00", "tar.bz2": b"BZh"}
LARGEST_READ_BYTES = 16 * MIB  # an extended header is a few hundred bytes


class Readable(Protocol):
    def read(self, num_bytes: int, /) -> bytes: ...


class ForwardStream:
    """A stream that is read forward only, up to a limit. Seeking forward reads and discards bytes."""

    def __init__(self, stream: Readable, cap_bytes: int, name: str) -> None:
        self._stream, self._cap, self.name = stream, cap_bytes, name
        self._position = 0
        self.last_block = b""

    def read(self, num_bytes: int = -1) -> bytes:
        if not 0 <= num_bytes <= LARGEST_READ_BYTES:
            raise bomb_error(f"a header of {num_bytes} bytes", self.name)
        pieces = []
        while num_bytes:  # decompressors may give less than asked before the end
            piece = self._stream.read(num_bytes)
            if not piece:
                break
            pieces.append(piece)
            num_bytes -= len(piece)
        data = b"".join(pieces)
        self._position += len(data)
        if self._position > self._cap:
            raise bomb_error(f"more than {self._cap} bytes unpacked", self.name)
        self.last_block = data[-BLOCK_BYTES:]
        return data

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        while self._position < position and self.read(min(CHUNK_BYTES, position - self._position)):
            pass
        if self._position > position:
            raise tarfile.StreamError("cannot go back")
        return self._position


def tar_members(archive: Path, compression: str, limits: Limits) -> Iterator[Member]:
    """Members of a tar file. `compression` is the format of the spec, e.g. `tar.gz`."""
    with archive.open("rb") as file:
        cap = limits.total_for(archive.stat().st_size)
        yield from stream_members(file, compression, cap, archive.name, limits)


def stream_members(file: IO[bytes], compression: str, cap_bytes: int, name: str, limits: Limits) -> Iterator[Member]:
    """Members of a tar stream that starts at the file's position.

    Those of a plain tar know where their bytes lie, counted from there.
    """
    forward = ForwardStream(_open_decompressed(file, compression), cap_bytes, name)
    tar = tarfile.open(fileobj=cast("IO[bytes]", forward), mode="r:")  # noqa: SIM115 - no file
    while (info := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined] # tarfile would keep every member
        if info.isdir():
            continue
        if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and info.sparse is None:
            content = tar.extractfile(info)
            assert content is not None  # noqa: S101 - a regular member has content
            offset = info.offset_data if compression == "tar" else UNKNOWN
            yield Member(info.name, info.size, content.read, offset=offset)
        elif (info.issym() or info.islnk()) and limits.links == "skip":
            yield Member(info.name, 0, refuse_link_content, is_link=True)
        else:
            raise BadDataError(
                "TAR_MEMBER_TYPE",
                f"a member is not a regular file (type {info.type!r}); at {info.name!r} in {name}; do not use it",
            )
    _require_end(forward, name)


def refuse_link_content(num_bytes: int) -> bytes:
    """`Member.read` of a link: nothing reads the content of a link."""
    raise AssertionError(f"{num_bytes} bytes of a link")


def _require_end(forward: ForwardStream, name: str) -> None:
    if forward.last_block != bytes(BLOCK_BYTES):
        raise BadDataError("TAR_TRUNCATED", f"no end of archive after byte {forward.tell()}; at {name}; fetch it")
    while chunk := forward.read(CHUNK_BYTES):  # to the end, where a decompressor checks its checksum
        if chunk.strip(b"\x00"):
            raise BadDataError("TAR_CORRUPT", f"data after the end of the archive; at {name}; fetch it again")


def _open_decompressed(file: IO[bytes], compression: str) -> Readable:
    """Open the stream with the compression that the spec names, and no other."""
    openers: dict[str, Callable[[], Readable]] = {
        "tar": lambda: file,
        "tar.gz": lambda: gzip.GzipFile(fileobj=file),
        "tar.bz2": lambda: bz2.BZ2File(file),
        "tar.xz": lambda: lzma.LZMAFile(file, format=lzma.FORMAT_XZ),  # noqa: SIM115 - not a file of ours
        "tar.zst": lambda: _zstd(file),
    }
    if compression not in openers:
        raise ValueError(f"unknown archive format {compression}; known: {', '.join(openers)}")
    return openers[compression]()


def _zstd(file: IO[bytes]) -> Readable:
    return cast("Readable", pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"))
