"""FLAC (RFC 9639): where a stream ends and how many samples it has, counted at its last frame.

An encoder that writes into a pipe leaves the number 0. One that was killed leaves what it had at the start. The last
frame carries its own number, and a CRC-16 over all its bytes says where it ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from wavlm.corpus.audio.file_bytes import SEARCH_BYTES, FileBytes
from wavlm.corpus.audio.part import FlacCheck, Part, recovery, truncation
from wavlm.corpus.audio.reason import Reason, refuse
from wavlm.corpus.audio.tags import FLAC_MARKS, before_tags, is_clean, next_file

STREAMINFO_BYTES = 34
HEADER_BYTES = 16  # the longest header of a frame
SMALLEST_FRAME = 9  # bytes: the header, a constant subframe per channel and the CRC-16
TAIL_BYTES = (1 << 16, 1 << 20)  # searched for the last frame; a frame has 20 kB, and 2 MB at the very most
_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_SIZES = {
    1: 192,
    **{code: 576 << (code - 2) for code in range(2, 6)},
    **{code: 256 << (code - 8) for code in range(8, HEADER_BYTES)},
}


@dataclass(frozen=True)
class FlacStreamInfo:
    """The STREAMINFO block of a FLAC file (RFC 9639, section 8.2)."""

    bits_per_sample: int
    num_samples: int  # per channel; 0: not known
    md5: bytes  # of the interleaved PCM; all zero: not known
    largest_block: int  # samples per frame


@dataclass(frozen=True)
class LastFrame:
    """The last frame of a stream."""

    num_samples: int  # of the stream, up to the end of this frame
    end: int  # position in the file


def flac_stream_info(blob: bytes) -> FlacStreamInfo | None:
    """The STREAMINFO of a FLAC file; None if it is not the first block."""
    if blob[:4] != b"fLaC" or blob[4] & 0x7F != 0 or len(blob) < 42:
        return None
    packed = int.from_bytes(blob[18:26], "big")  # rate 20, channels 3, bits 5, samples 36
    largest = int.from_bytes(blob[10:12], "big")
    return FlacStreamInfo((packed >> 36 & 0x1F) + 1, packed & (1 << 36) - 1, blob[26:42], largest)


def walk_flac(data: FileBytes, start: int) -> Part:
    """The stream that starts here. Raises AudioError if its length can be found in no way."""
    head = data.read(start, 8 + STREAMINFO_BYTES)
    info = flac_stream_info(head)
    if info is None:
        raise refuse(Reason.AUDIO_CORRUPT, "the first block of the FLAC is no STREAMINFO", data.name)
    frames_at = _skip_metadata(data, start)
    end = before_tags(data, next_file(data, frames_at, marks=FLAC_MARKS))
    last = _find_last_frame(data, frames_at, end, info)
    is_possible = 0 < info.num_samples <= _most_samples(end - frames_at, info)
    if last is None:
        if not is_possible:
            raise truncation("the FLAC does not end with a whole frame", data)
        behind = refuse(Reason.AUDIO_TRAILING, "bytes that are no FLAC frame follow the last one", data.name)
        return replace(_part(head, info, (start, end), info.num_samples), complaint=behind)
    has_fewer = is_possible and info.num_samples > last.num_samples
    is_cut = not is_clean(data, last.end) and _frame_header(data.read(last.end, HEADER_BYTES), info) is not None
    if is_cut or (has_fewer and not any(info.md5)):
        raise truncation(
            f"the FLAC has {last.num_samples} of {info.num_samples or 'an unknown number of'} samples", data
        )
    if not any(info.md5):
        _check_frames(data, frames_at, last, info)
    part = _part(head, info, (start, last.end), last.num_samples)
    is_stale = is_possible and info.num_samples < last.num_samples
    return replace(part, notes=(recovery(info.num_samples, last.num_samples, "samples"),)) if is_stale else part


def _part(head: bytes, info: FlacStreamInfo, where: tuple[int, int], num_samples: int) -> Part:
    """The stream with this number of samples in its STREAMINFO: 36 bits that end at byte 26."""
    packed = int.from_bytes(head[18:26], "big") >> 36 << 36 | num_samples
    patched = head[:18] + packed.to_bytes(8, "big") + head[26:]
    return Part(
        format="FLAC",
        chunks=(patched, (where[0] + len(head), where[1])),
        end=where[1],
        num_samples=num_samples,
        is_measured=num_samples != info.num_samples,
        flac=FlacCheck(info.bits_per_sample, info.md5 if any(info.md5) else b""),
    )


def _skip_metadata(data: FileBytes, start: int) -> int:
    at = start + 4
    while True:
        head = data.read(at, 4)
        if len(head) < 4:
            raise truncation("the FLAC ends in its metadata", data)
        at += 4 + int.from_bytes(head[1:], "big")
        if head[0] & 0x80:
            return at


def _most_samples(num_bytes: int, info: FlacStreamInfo) -> int:
    """The most samples that this many bytes can hold: only the smallest frames of the largest block."""
    return (num_bytes // SMALLEST_FRAME + 1) * max(info.largest_block, 16)


def _find_last_frame(data: FileBytes, start: int, end: int, info: FlacStreamInfo) -> LastFrame | None:
    """The last frame of a stream; None if none is whole. Zeros behind it count as its own."""
    first = _frame_header(data.read(start, HEADER_BYTES), info)
    if first is None:
        return None
    for num_bytes in TAIL_BYTES:
        begin = max(start, end - num_bytes)
        tail = data.read(begin, end - begin)
        for match in reversed(list(_SYNC.finditer(tail))):
            header = _frame_header(tail[match.start() : match.start() + HEADER_BYTES], info)
            if header is None or header[0] != first[0]:
                continue
            if (size := _whole_frame_bytes(tail, match.start())) is None:
                continue
            is_variable, number, block = header
            before = number if is_variable else number * first[2]
            # A last frame may be shorter. Then the size of the first frame counts its predecessors.
            return LastFrame(before + block, begin + match.start() + size)
        if begin == start:
            break
    return None


def _check_frames(data: FileBytes, start: int, last: LastFrame, info: FlacStreamInfo) -> None:
    """Refuse a stream in which a frame is missing: libFLAC puts silence in its place, and without MD5 nobody knows."""
    found = 0  # samples of consecutive frames
    for at in range(start, last.end, SEARCH_BYTES):
        block = data.read(at, min(SEARCH_BYTES + HEADER_BYTES, last.end - at))
        for match in _SYNC.finditer(block, 0, SEARCH_BYTES + 1):
            header = _frame_header(block[match.start() : match.start() + HEADER_BYTES], info)
            if header is None:
                continue
            is_variable, number, size = header
            first = number if is_variable else number * info.largest_block
            if first == found:
                found += size
    if found != last.num_samples:
        raise refuse(Reason.AUDIO_CORRUPT, f"the FLAC frame at sample {found} is missing or damaged", data.name)


def _frame_header(blob: bytes, info: FlacStreamInfo) -> tuple[bool, int, int] | None:
    """Whether blocks vary in size, the coded number, and the samples of a frame; None if this is no header (9.1)."""
    if len(blob) < 6 or blob[0] != 0xFF or blob[1] & 0xFE != 0xF8:
        return None
    code = blob[2] >> 4
    parsed = _coded_number(blob[4:])
    if code == 0 or parsed is None:
        return None
    number, at = parsed[0], 4 + parsed[1]
    extra = {6: 1, 7: 2}.get(code, 0)
    block = int.from_bytes(blob[at : at + extra], "big") + 1 if extra else _SIZES[code]
    at += extra + {12: 1, 13: 2, 14: 2}.get(blob[2] & 15, 0)
    if at >= len(blob) or _crc8(blob[:at]) != blob[at] or block > max(info.largest_block, 16):
        return None
    return bool(blob[1] & 1), number, block


def _coded_number(blob: bytes) -> tuple[int, int] | None:
    """A number as UTF-8 codes it, up to 36 bits, and its bytes."""
    lead = blob[0]
    if lead < 0x80:
        return lead, 1
    size = next((bits for bits in range(8) if not lead & 0x80 >> bits), 8)
    if not 2 <= size <= 7 or len(blob) < size or any(byte & 0xC0 != 0x80 for byte in blob[1:size]):
        return None
    number = lead & (0x7F >> size)
    for byte in blob[1:size]:
        number = number << 6 | byte & 0x3F
    return number, size


def _whole_frame_bytes(tail: bytes, start: int) -> int | None:
    """The bytes up to the last position at which the CRC-16 of the frame comes out as zero; None if nowhere."""
    table = _crc16_table()
    crc, found = 0, None
    for at in range(start, len(tail)):
        crc = (crc << 8 & 0xFF00) ^ table[crc >> 8 ^ tail[at]]
        if crc == 0 and at > start + SMALLEST_FRAME - 2:
            found = at + 1 - start
    return found


def _crc8(blob: bytes) -> int:
    crc = 0
    for byte in blob:
        crc ^= byte
        for _ in range(8):  # x^8 + x^2 + x + 1
            crc = (crc << 1) ^ (0x107 if crc & 0x80 else 0)
    return crc


@lru_cache(maxsize=1)
def _crc16_table() -> tuple[int, ...]:
    """x^16 + x^15 + x^2 + 1, most significant bit first (RFC 9639, section 9.3)."""

    def entry(value: int) -> int:
        crc = value << 8
        for _ in range(8):
            crc = (crc << 1) ^ (0x18005 if crc & 0x8000 else 0)
        return crc & 0xFFFF

    return tuple(entry(value) for value in range(256))
