"""Ogg (RFC 3533): pages with checksums and numbers. Recordings may be chained: one link behind the other.

Pages of one stream have consecutive numbers, so that a page that is missing, twice or out of order is found.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from wavlm.corpus.audio.file_bytes import FileBytes
from wavlm.corpus.audio.part import Part, truncation
from wavlm.corpus.audio.reason import Reason, refuse

WINDOW_BYTES = 1 << 20
MAX_PAGE_BYTES = 27 + 255 + 255 * 255
CONTINUED, FIRST, LAST = 1, 2, 4  # flags of a page
CODECS = {b"\x01vorbis": "VORBIS", b"OpusHead": "OPUS", b"\x7fFLAC": "FLAC", b"Speex   ": "SPEEX"}
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass(frozen=True)
class Page:
    """A page and its position."""

    start: int
    body: bytes  # of the whole page

    @property
    def end(self) -> int:
        return self.start + len(self.body)

    @property
    def flags(self) -> int:
        return self.body[5]

    @property
    def serial(self) -> bytes:
        return self.body[14:18]

    @property
    def number(self) -> int:
        return int.from_bytes(self.body[18:22], "little")

    @property
    def granule(self) -> int:
        """The time at the end of the last packet that ends here, in units of the codec; -1: no packet does."""
        return int.from_bytes(self.body[6:14], "little", signed=True)

    @property
    def ends_packet(self) -> bool:
        return any(size < 255 for size in self.body[27 : 27 + self.body[26]])

    def codec(self) -> str | None:
        """The codec of the stream that starts on this page, if it is one of audio."""
        packet = self.body[27 + self.body[26] :]
        return next((codec for mark, codec in CODECS.items() if packet.startswith(mark)), None)


@dataclass
class Stream:
    """What the pages of a stream said so far."""

    codec: str | None
    number: int
    is_open: bool = True
    granule: int = 0


def walk_ogg(data: FileBytes, start: int) -> Part:
    """The link that starts here: all pages up to the next link. Raises AudioError for pages that are not whole."""
    streams: dict[bytes, Stream] = {}
    end, is_body = start, False
    for page in _pages(data, start):
        if page.flags & FIRST:
            if is_body and not any(stream.is_open for stream in streams.values()):
                break  # the next link
            if page.serial in streams:
                raise _corrupt(f"a stream starts twice at byte {page.start}", data)
            streams[page.serial] = Stream(page.codec(), page.number, is_open=not page.flags & LAST)
        else:
            is_body = True
            _follow(streams, page, data)
        end = page.end
    if any(stream.is_open for stream in streams.values()):
        raise truncation("no Ogg page carries the end-of-stream flag", data)
    codecs = [stream.codec for stream in streams.values() if stream.codec]
    if len(codecs) > 1:
        raise refuse(Reason.AUDIO_STREAMS, f"{len(codecs)} audio streams: {', '.join(codecs)}", data.name)
    by_soundfile = len(streams) == 1 and codecs in (["VORBIS"], ["OPUS"])
    return Part("OGG", ((start, end),), end, "soundfile" if by_soundfile else "av")


def _follow(streams: dict[bytes, Stream], page: Page, data: FileBytes) -> None:
    stream = streams.get(page.serial)
    if stream is None:
        raise _corrupt(f"the Ogg page at byte {page.start} is of no stream", data)
    if not stream.is_open:
        raise _corrupt(f"an Ogg page at byte {page.start} follows the last of its stream", data)
    if page.number != stream.number + 1:
        raise _corrupt(
            f"Ogg page {page.number} follows page {stream.number} at byte {page.start}: pages are missing", data
        )
    if stream.codec and page.ends_packet:
        if page.granule < stream.granule:
            what = f"the Ogg page at byte {page.start} ends at {page.granule}, the one before at {stream.granule}"
            raise _corrupt(what, data)
        stream.granule = page.granule
    stream.number = page.number
    stream.is_open = not page.flags & LAST


def _pages(data: FileBytes, at: int) -> Iterator[Page]:
    """All pages from a position on. Raises AudioError for a page that is cut or has a wrong checksum."""
    window, window_at = b"", at
    while True:
        if at + MAX_PAGE_BYTES > window_at + len(window) and window_at + len(window) < data.size:
            window, window_at = data.read(at, WINDOW_BYTES), at
        page = window[at - window_at : at - window_at + MAX_PAGE_BYTES]
        if page[:4] != b"OggS":
            return
        size = _page_bytes(page)
        if size > len(page):
            raise truncation(f"an Ogg page ends at byte {at + size}", data)
        page = page[:size]
        if _crc(page) != int.from_bytes(page[22:26], "little"):
            raise _corrupt(f"the checksum of the Ogg page at byte {at} is wrong", data)
        yield Page(at, page)
        at += size


def _page_bytes(page: bytes) -> int:
    segments = page[26] if len(page) > 26 else 0
    return 27 + segments + sum(page[27 : 27 + segments])


def _crc(page: bytes) -> int:
    """The CRC-32 of an Ogg page: polynomial 0x04c11db7, most significant bit first, start 0, no inversion.

    zlib has the same polynomial with the least significant bit first, so bits are reversed on both sides.
    """
    blank = page[:22] + bytes(4) + page[26:]
    crc = zlib.crc32(blank.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)


def _corrupt(what: str, data: FileBytes) -> Exception:
    return refuse(Reason.AUDIO_CORRUPT, what, data.name)
