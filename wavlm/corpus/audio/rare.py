"""Rare formats, of which only the outer sizes are read, so that cut files and bytes behind the audio are found."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from wavlm.corpus.audio.extent import settle_extent
from wavlm.corpus.audio.file_bytes import FileBytes
from wavlm.corpus.audio.part import DecoderName, Part, truncation
from wavlm.corpus.audio.reason import Reason, refuse
from wavlm.corpus.audio.tags import Marks, next_file

# Formats whose header says no length: bytes before the audio, and marks of a next file.
HEADERS = {"PAF": 2048, "PVF": 8, "IRCAM": 1024}
NEXT: dict[str, Marks] = {
    "PAF": ((b" paf" + bytes(8), 0), (b"fap " + bytes(8), 0)),
    "PVF": ((b"PVF1\n", 0),),
    "IRCAM": ((b"\x64\xa3\x03\0\0\0", 0), (b"\x64\xa3\x02\0", 0), (b"\0\x02\xa3\x64", 0), (b"\0\x01\xa3\x64", 0)),
}
_PVF_HEADER = re.compile(rb"PVF1\n\d+ \d+ \d+\n")
TTA_FRAME = (256, 245)  # a frame has 256 / 245 s


def walk_form(data: FileBytes, start: int, name: str, order: str, decoder: DecoderName) -> Part:
    """A file in one chunk, such as SVX and AVI. A large AVI file goes on in chunks of the kind AVIX."""
    end = start
    while len(head := data.read(end, 12)) == 12 and (end == start or head[:4] + head[8:] == b"RIFFAVIX"):
        size = struct.unpack(order + "I", head[4:8])[0]
        end += 8 + size + size % 2
        if end > data.size + 1:
            raise truncation(f"the {name} file ends at byte {end} by its header", data)
    end = min(end, data.size)
    return Part(name, ((start, end),), end, decoder)


def walk_headed(data: FileBytes, start: int, name: str) -> Part:
    """A header without a length, then audio until the end of the file."""
    if name == "PVF" and not _PVF_HEADER.match(data.read(start, 40)):
        raise refuse(Reason.AUDIO_CORRUPT, "the PVF header is not three numbers in a line", data.name)
    extent = settle_extent(data, start + HEADERS[name], None)
    end = next_file(data, start + HEADERS[name], extent.next, NEXT[name])
    return Part(name, ((start, min(end, extent.end)),), end)


def walk_avr(data: FileBytes, start: int) -> Part:
    """Audio Visual Research: 128 bytes, then samples of which the header says the number."""
    head = data.read(start, 128)
    if len(head) < 128:
        raise truncation("an AVR header has 128 bytes", data)
    channels, bits = 2 if head[12:14] == b"\xff\xff" else 1, int.from_bytes(head[14:16], "big")
    announced = int.from_bytes(head[26:30], "big") * channels * (bits // 8)
    extent = settle_extent(data, start + 128, announced)
    return Part("AVR", ((start, extent.end),), extent.next).with_recovery(extent, channels * max(bits // 8, 1))


def walk_voc(data: FileBytes, start: int) -> Part:
    """Creative Voice: blocks of a type and a size of 24 bits, until a block of type 0."""
    at = start + int.from_bytes(data.read(start + 20, 2), "little")
    while (head := data.read(at, 4)) and head[0]:
        at += 4 + int.from_bytes(head[1:], "little")
        if at > data.size:
            raise truncation(f"the last block of the VOC file ends at byte {at}", data)
    return Part("VOC", ((start, min(at + 1, data.size)),), min(at + 1, data.size))


def walk_wve(data: FileBytes, start: int) -> Part:
    """Psion: 32 bytes of header, then A-law."""
    extent = settle_extent(data, start + 32, int.from_bytes(data.read(start + 18, 4), "big"))
    return Part("WVE", ((start, extent.end),), extent.next).with_recovery(extent, 1)


def walk_tta(data: FileBytes, start: int) -> Part:
    """True Audio: a header, a table of the sizes of all frames, the frames."""
    head = data.read(start, 22)
    if len(head) < 22:
        raise truncation("a TTA header has 22 bytes", data)
    rate_hz, num_samples = struct.unpack("<II", head[10:18])
    frame = TTA_FRAME[0] * rate_hz // TTA_FRAME[1]
    count = -(-num_samples // frame) if frame else 0
    if 4 * count > data.size:
        raise truncation(f"the TTA header announces {num_samples} samples", data)
    table = data.read(start + 22, 4 * count)
    end = start + 22 + 4 * count + 4 + sum(struct.unpack(f"<{len(table) // 4}I", table[: len(table) // 4 * 4]))
    if end > data.size:
        raise truncation(f"the last TTA frame ends at byte {end}", data)
    return Part("TTA", ((start, end),), end, "av", num_samples)


def walk_flv(data: FileBytes, start: int) -> Part:
    """Flash video: tags with a size, of which those of audio are decoded."""
    at = start + int.from_bytes(data.read(start + 5, 4), "big") + 4
    while len(head := data.read(at, 11)) == 11 and head[0] & 0xC0 == 0 and head[0] & 31 in (8, 9, 18):
        at += 11 + int.from_bytes(head[1:4], "big") + 4
        if at > data.size:
            raise truncation(f"the last FLV tag ends at byte {at}", data)
    if 0 < data.size - at < 11:
        raise truncation("an FLV tag has 11 bytes or more", data)
    return Part("FLV", ((start, at),), at, "av")


def walk_other(data: FileBytes, start: int, opens: Callable[[Part], bool]) -> Part:
    """A file without a mark that is known here, if one of the decoders reads it."""
    for decoder in ("soundfile", "av"):
        part = Part("OTHER", ((start, data.size),), data.size, decoder)
        if opens(part):
            return part
    raise refuse(Reason.AUDIO_UNREADABLE, "the content is of no format that is known here", data.name)
