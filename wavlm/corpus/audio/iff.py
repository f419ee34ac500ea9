"""AIFF, AIFC and CAF: big-endian chunks. Sizes are compared with the file and corrected for the decoder."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from wavlm.corpus.audio.extent import settle_extent
from wavlm.corpus.audio.file_bytes import FileBytes
from wavlm.corpus.audio.part import DecoderName, Part, truncation
from wavlm.corpus.audio.reason import Reason, refuse

STREAMED_BYTES = 0x7F000000  # sox writes this number of bytes or more into a pipe
PLAIN_AIFC = frozenset({b"NONE", b"sowt", b"twos", b"raw ", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32"})
LAW_AIFC = frozenset({b"alaw", b"ALAW", b"ulaw", b"ULAW"})
OF_SOUNDFILE = PLAIN_AIFC | LAW_AIFC | {b"ima4", b"GSM "}
SSND_HEAD = 8  # offset and block size, before the samples


@dataclass(frozen=True)
class Chunk:
    """The position and the size of a chunk, as its header gives them. In CAF, -1 is "until the end"."""

    name: bytes
    start: int
    size: int


def walk_aiff(data: FileBytes, start: int) -> Part:
    """The recording in an AIFF or AIFC file."""
    is_compressed = data.read(start + 8, 4) == b"AIFC"
    chunks: dict[bytes, Chunk] = {}
    for chunk in _aiff_chunks(data, start + 12):
        if chunk.name == b"SSND" and chunk.name in chunks:
            raise refuse(Reason.AUDIO_TRAILING, f"a second SSND chunk at byte {chunk.start - 8}", data.name)
        chunks.setdefault(chunk.name, chunk)
        if chunk.start + chunk.size > data.size and chunk.name != b"SSND":
            raise truncation(f"the chunk {chunk.name.decode('latin-1')} ends at byte {chunk.start + chunk.size}", data)
    if b"SSND" not in chunks or b"COMM" not in chunks:
        raise refuse(Reason.AUDIO_TRUNCATED, "there is no COMM chunk or no SSND chunk", data.name)
    common, sound = data.read(chunks[b"COMM"].start, chunks[b"COMM"].size), chunks[b"SSND"]
    if len(common) < 18:
        raise refuse(Reason.AUDIO_CORRUPT, f"a COMM chunk of {len(common)} bytes", data.name)
    channels, count, bits = struct.unpack(">hIh", common[:8])
    coding = common[18:22] if is_compressed else b"NONE"
    frame_bytes = channels * (1 if coding in LAW_AIFC else (bits + 7) // 8)
    is_plain = coding in PLAIN_AIFC | LAW_AIFC and frame_bytes > 0
    padding = int.from_bytes(data.read(sound.start, 4), "big")  # bytes before the first sample
    if not 0 <= padding <= data.size - sound.start - SSND_HEAD:
        raise refuse(Reason.AUDIO_CORRUPT, f"the SSND chunk says that audio starts {padding} bytes later", data.name)
    sound = replace(sound, start=sound.start + padding, size=max(sound.size - padding, 0))
    announced = _announced_aiff(data, sound, count * frame_bytes if is_plain else None)
    extent = settle_extent(data, sound.start + SSND_HEAD, announced, lambda at: _chain_end(data, at), 2)
    size = extent.end - extent.start
    if is_plain:
        common = common[:2] + struct.pack(">I", size // frame_bytes) + common[6:]
    return Part(
        format="AIFF",
        chunks=(_aiff_header(data.read(start + 8, 4), common, size), (extent.start, extent.end)),
        end=extent.next,
        decoder="soundfile" if coding in OF_SOUNDFILE else "av",
        num_samples=size // frame_bytes if is_plain else None,
    ).with_recovery(extent, frame_bytes if is_plain else None)


def _announced_aiff(data: FileBytes, sound: Chunk, size: int | None) -> int | None:
    """The bytes of samples: of the chunk, or of the number of frames if that is larger and the file has as many."""
    in_chunk = sound.size - SSND_HEAD
    if in_chunk >= STREAMED_BYTES and sound.start + sound.size > data.size:
        return None
    if in_chunk < 0:
        return 0
    fits = size is not None and size > in_chunk and sound.start + SSND_HEAD + size <= data.size
    return size if fits and in_chunk == 0 else in_chunk


def _aiff_chunks(data: FileBytes, at: int) -> Iterator[Chunk]:
    while len(head := data.read(at, 8)) == 8:
        chunk = Chunk(head[:4], at + 8, int.from_bytes(head[4:], "big"))
        if not all(32 <= letter < 127 for letter in chunk.name) or chunk.name == b"FORM":
            return
        yield chunk
        if chunk.name == b"SSND" and chunk.start + chunk.size >= data.size:
            return
        at = chunk.start + chunk.size + chunk.size % 2


def _chain_end(data: FileBytes, at: int) -> int | None:
    end = at
    for chunk in _aiff_chunks(data, at):
        if chunk.start + chunk.size > data.size:
            break
        end = min(chunk.start + chunk.size + chunk.size % 2, data.size)
    return end if end > at else None


def _aiff_header(kind: bytes, common: bytes, size: int) -> bytes:
    version = struct.pack(">4sII", b"FVER", 4, 0xA2805140) if kind == b"AIFC" else b""
    common += b"\0" * (len(common) % 2)
    body = kind + version + struct.pack(">4sI", b"COMM", len(common)) + common
    sound = struct.pack(">4sIII", b"SSND", min(size + SSND_HEAD, 0xFFFFFFFF), 0, 0)
    return struct.pack(">4sI", b"FORM", min(len(body) + len(sound) + size, 0xFFFFFFFF)) + body + sound


def walk_caf(data: FileBytes, start: int) -> Part:
    """The recording in a Core Audio file. A compressed one is given to its decoder as it is."""
    chunks: dict[bytes, Chunk] = {}
    end = start + 8
    for chunk in _caf_chunks(data, end):
        if chunk.name == b"data" and chunk.name in chunks:
            raise refuse(Reason.AUDIO_TRAILING, f"a second data chunk at byte {chunk.start - 12}", data.name)
        chunks.setdefault(chunk.name, chunk)
        end = data.size if chunk.size < 0 else chunk.start + chunk.size
    if b"data" not in chunks or b"desc" not in chunks:
        raise refuse(Reason.AUDIO_TRUNCATED, "there is no desc chunk or no data chunk", data.name)
    description, sound = data.read(chunks[b"desc"].start, 32), chunks[b"data"]
    if len(description) < 32:
        raise truncation("the desc chunk needs 32 bytes", data)
    coding, packet_bytes = description[8:12], int.from_bytes(description[16:20], "big")
    if coding in (b"lpcm", b"alaw", b"ulaw") and packet_bytes:
        return _plain_caf(data, start, description, sound, packet_bytes)
    if end > data.size:
        raise truncation(f"the last chunk ends at byte {end}", data)
    count = None
    if b"pakt" in chunks and not packet_bytes:
        _check_packets(data, chunks[b"pakt"], sound, int.from_bytes(description[20:24], "big"))
        valid = int.from_bytes(data.read(chunks[b"pakt"].start + 8, 8), "big")
        count = valid if coding == b"alac" else None  # other codecs: FFmpeg takes off what it knows of the priming
    decoder: DecoderName = "soundfile" if coding == b"alac" else "av"
    return Part("CAF", ((start, end),), end, decoder, count, trimmed_to=count)


def _plain_caf(data: FileBytes, start: int, description: bytes, sound: Chunk, packet_bytes: int) -> Part:
    announced = None if sound.size < 0 else max(sound.size - 4, 0)  # 4: the number of edits
    extent = settle_extent(data, sound.start + 4, announced, lambda at: _caf_chain_end(data, at))
    size = extent.end - extent.start
    count = size // packet_bytes
    head = data.read(start, 8) + struct.pack(">4sq", b"desc", 32) + description
    head += struct.pack(">4sqI", b"data", size + 4, 0)
    part = Part("CAF", (head, (extent.start, extent.end)), extent.next, num_samples=count)
    return part.with_recovery(extent, packet_bytes)


def _check_packets(data: FileBytes, table: Chunk, sound: Chunk, frame: int) -> None:
    """Refuse a packet table that does not fit: its packets of `frame` samples, and the sum of their sizes in bytes."""
    head = data.read(table.start, table.size)
    if len(head) < 24:
        raise refuse(Reason.AUDIO_CORRUPT, f"a packet table of {len(head)} bytes", data.name)
    count, valid, before, behind = struct.unpack(">qqii", head[:24])
    rest = 0 if behind == frame else behind  # libsndfile writes a whole packet where nothing is left over
    if frame and valid + before + rest != count * frame:
        what = f"the packet table counts {valid} samples in {count} packets of {frame}"
        raise refuse(Reason.AUDIO_CORRUPT, what, data.name)
    total = size = 0
    for byte in head[24:]:  # numbers of 7 bits per byte, of which the last has no upper bit
        size = size << 7 | byte & 0x7F
        if not byte & 0x80:
            total, size = total + size, 0
    if frame and sound.size >= 0 and total != sound.size - 4:
        what = f"the packets have {total} bytes, their chunk {sound.size - 4}"
        raise refuse(Reason.AUDIO_CORRUPT, what, data.name)


def _caf_chunks(data: FileBytes, at: int) -> Iterator[Chunk]:
    while len(head := data.read(at, 12)) == 12:
        chunk = Chunk(head[:4], at + 12, struct.unpack(">q", head[4:])[0])
        if not all(32 <= letter < 127 for letter in chunk.name) or chunk.size < -1:
            return
        yield chunk
        if chunk.size < 0:
            return
        at = chunk.start + chunk.size


def _caf_chain_end(data: FileBytes, at: int) -> int | None:
    end = at
    for chunk in _caf_chunks(data, at):
        if chunk.size < 0 or chunk.start + chunk.size > data.size:
            break
        end = chunk.start + chunk.size
    return end if end > at else None
