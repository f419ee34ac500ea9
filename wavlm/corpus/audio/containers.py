"""Detect truncated and damaged audio files by the lengths, flags and checksums of their containers.

libsndfile does not report truncation. Of 99 truncated files per format it reads without an error:

| WAV | MP3 | Ogg Vorbis | Opus |
|---|---|---|---|
| 99 | 94 | 84 | 68 |
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from wavlm.corpus.audio.reason import AudioError, Reason


@dataclass(frozen=True)
class FlacStreamInfo:
    """The STREAMINFO block of a FLAC file (RFC 9639, section 8.2)."""

    bits_per_sample: int
    num_samples: int  # per channel; 0: not known
    md5: bytes  # of the interleaved PCM; all zero: not known


def check_container(blob: bytes, name: str) -> None:
    """Raise AudioError if a WAV, Ogg or MP3 file is shorter than its header says or has a wrong checksum.

    Other formats pass. FLAC is compared with its MD5 after decoding.
    """
    if blob[:4] in (b"RIFF", b"RF64"):
        _check_riff(blob, name)
    elif blob[:4] == b"OggS":
        _check_ogg(blob, name)
    elif blob[:3] == b"ID3" or (blob[:1] == b"\xff" and blob[1:2] >= b"\xe0"):
        _check_mp3(blob, name)


def flac_stream_info(blob: bytes) -> FlacStreamInfo | None:
    """The STREAMINFO of a FLAC file; None if it is not the first block."""
    if blob[:4] != b"fLaC" or blob[4] & 0x7F != 0 or len(blob) < 42:
        return None
    packed = int.from_bytes(blob[18:26], "big")  # rate 20, channels 3, bits 5, samples 36
    return FlacStreamInfo((packed >> 36 & 0x1F) + 1, packed & (1 << 36) - 1, blob[26:42])


# A writer that cannot seek back leaves a size near 2**31 or 2**32, which means "until the end of the file".
STREAMED_BYTES = 0x7FFFF000


def _check_riff(blob: bytes, name: str) -> None:
    promised = 8 + int.from_bytes(blob[4:8], "little")
    if blob[:4] == b"RF64" and blob[12:16] == b"ds64":
        promised = 8 + int.from_bytes(blob[20:28], "little")
    elif promised >= STREAMED_BYTES:
        return
    # The padding byte of a data chunk of odd size may be missing.
    if promised > len(blob) + 1:
        raise _truncation_error(f"the RIFF header announces {promised} bytes", blob, name)
    for chunk, start, size in _riff_chunks(blob):
        if chunk == b"data" and size < STREAMED_BYTES and start + size > len(blob):
            raise _truncation_error(f"the data chunk ends at byte {start + size}", blob, name)


def _riff_chunks(blob: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start of content, size) of each chunk."""
    position = 12
    while position + 8 <= len(blob):
        size = int.from_bytes(blob[position + 4 : position + 8], "little")
        yield blob[position : position + 4], position + 8, size
        position += 8 + size + size % 2


def _check_ogg(blob: bytes, name: str) -> None:
    """Check every page (RFC 3533, section 6): its checksum, and the end flag on the last page of each stream."""
    view = memoryview(blob)
    position = 0
    is_open: dict[bytes, bool] = {}
    while blob[position : position + 4] == b"OggS":
        size = _ogg_page_bytes(blob, position)
        if position + size > len(blob):
            raise _truncation_error(f"an Ogg page ends at byte {position + size}", blob, name)
        page = view[position : position + size]
        if _ogg_crc(bytes(page)) != int.from_bytes(page[22:26], "little"):
            raise AudioError(
                Reason.AUDIO_CORRUPT,
                f"the checksum of the Ogg page at byte {position} is wrong; in {name}",
            )
        is_open[bytes(page[14:18])] = not page[5] & 0x04
        position += size
    if any(is_open.values()):
        raise _truncation_error("no Ogg page carries the end-of-stream flag", blob, name)


def _ogg_page_bytes(blob: bytes, position: int) -> int:
    segments = blob[position + 26] if position + 26 < len(blob) else 0
    return 27 + segments + sum(blob[position + 27 : position + 27 + segments])


_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def _ogg_crc(page: bytes) -> int:
    """The CRC-32 of an Ogg page: polynomial 0x04c11db7, most significant bit first, start 0, no inversion.

    zlib has the same polynomial with the least significant bit first, so bits are reversed on both sides.
    """
    blank = page[:22] + bytes(4) + page[26:]
    crc = zlib.crc32(blank.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)


def _check_mp3(blob: bytes, name: str) -> None:
    """Compare the size with the number of bytes in the Xing or Info frame, which encoders write first."""
    start = 0
    if blob[:3] == b"ID3" and len(blob) > 10:
        size = sum((byte & 0x7F) << shift for byte, shift in zip(blob[6:10], (21, 14, 7, 0), strict=True))
        start = 10 + size + (10 if blob[5] & 0x10 else 0)
    head = blob[start : start + 64]
    if len(head) < 64 or head[0] != 0xFF or head[1] < 0xE0:
        return
    is_mpeg1, is_mono = head[1] >> 3 & 3 == 3, head[3] >> 6 == 3
    tag = 4 + {(True, False): 32, (False, True): 9}.get((is_mpeg1, is_mono), 17)
    if head[tag : tag + 4] not in (b"Xing", b"Info"):
        return
    flags = int.from_bytes(head[tag + 4 : tag + 8], "big")
    if flags & 2:
        at = tag + 8 + (4 if flags & 1 else 0)
        promised = start + int.from_bytes(head[at : at + 4], "big")
        if promised > len(blob):
            raise _truncation_error(f"the MP3 info frame announces {promised} bytes", blob, name)


def _truncation_error(promise: str, blob: bytes, name: str) -> AudioError:
    return AudioError(Reason.AUDIO_TRUNCATED, f"{promise}, the file has {len(blob)} bytes; in {name}")
