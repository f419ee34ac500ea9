"""WAV (RIFF, RIFX, RF64, BW64) and Sony Wave64: chunks with sizes, of which none is believed.

A recorder that died leaves the size of its last update, or 0, in the header. A writer into a pipe leaves 0xFFFFFFFF or
a value near it. If what follows the data is neither chunks nor another file nor a tag, it is audio.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from wavlm.corpus.audio.extent import settle_extent
from wavlm.corpus.audio.file_bytes import FileBytes
from wavlm.corpus.audio.part import Extent, Part
from wavlm.corpus.audio.reason import Reason, refuse

# A writer that cannot seek back leaves a size near 2**31 or 2**32, which means "until the end of the file".
STREAMED_BYTES = 0x7FFFF000
MAX_RIFF_BYTES = 0xFFFFFF00
PCM, MS_ADPCM, FLOAT, A_LAW, MU_LAW, IMA_ADPCM, GSM, MPEG3 = 1, 2, 3, 6, 7, 17, 49, 85
ONE_FRAME_PER_BLOCK = frozenset({PCM, FLOAT, A_LAW, MU_LAW})
EXTENSIBLE = 0xFFFE
_METADATA = (
    "LIST id3  ID3  bext cue  smpl PAD  JUNK junk FLLR PEAK iXML _PMX axml cart inst plst note acid afsp DISP umid"
)
METADATA = frozenset(_METADATA[at : at + 4].encode() for at in range(0, len(_METADATA), 5))
OF_SOUNDFILE = ONE_FRAME_PER_BLOCK | {MS_ADPCM, IMA_ADPCM, GSM, 0x0038, 0x0045, 0x0040}
RIFF_TAIL = bytes.fromhex("912ecf11a5d628db04c10000")  # of the GUIDs of Wave64
WAVE_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")


@dataclass(frozen=True)
class Chunk:
    """The position and the size of a chunk, as its header gives them."""

    name: bytes  # four letters
    start: int  # of its content
    size: int

    def end(self, alignment: int) -> int:
        """The position of the chunk behind it."""
        return self.start + self.size + -self.size % alignment


@dataclass(frozen=True)
class Dialect:
    """How a member of the family writes its chunks."""

    order: str  # of bytes, as struct says it
    header: int  # bytes before the first chunk
    alignment: int
    is_wave64: bool = False

    def chunk(self, data: FileBytes, at: int) -> Chunk | None:
        """The chunk whose header is at a position; None at the end of the file."""
        head = data.read(at, 24 if self.is_wave64 else 8)
        if self.is_wave64:
            if len(head) < 24 or head[4:16] != WAVE_TAIL:
                return None
            return Chunk(head[:4], at + 24, struct.unpack("<Q", head[16:])[0] - 24)
        if len(head) < 8:
            return None
        return Chunk(head[:4], at + 8, struct.unpack(self.order + "I", head[4:])[0])


def walk_riff(data: FileBytes, start: int) -> Part:
    """The recording in a WAV file. Raises AudioError if its data chunk ends behind the file."""
    magic = data.read(start, 4)
    dialect = Dialect(">" if magic == b"RIFX" else "<", 12, 2)
    return _walk(data, start, dialect, "RF64" if magic in (b"RF64", b"BW64") else "WAV")


def walk_wave64(data: FileBytes, start: int) -> Part:
    """The recording in a Wave64 file."""
    return _walk(data, start, Dialect("<", 40, 8, is_wave64=True), "W64")


def _walk(data: FileBytes, start: int, dialect: Dialect, kind: str) -> Part:
    before: dict[bytes, Chunk] = {}
    found: Chunk | None = None
    for chunk in _chunks(data, start + dialect.header, dialect):
        if chunk.name == b"data":
            found = chunk
            break
        before.setdefault(chunk.name, chunk)
    if found is None:
        raise refuse(Reason.AUDIO_TRUNCATED, "there is no data chunk", data.name)
    if b"fmt " not in before:
        raise refuse(Reason.AUDIO_CORRUPT, "there is no fmt chunk before the data", data.name)
    size = _size_of_data(data, found, before)
    extent = settle_extent(data, found.start, size, lambda at: _chain_end(data, at, dialect), dialect.alignment)
    return _describe(data, (start, found.start), before, extent, kind, dialect)


def _chunks(data: FileBytes, at: int, dialect: Dialect) -> Iterator[Chunk]:
    while (chunk := dialect.chunk(data, at)) is not None:
        yield chunk
        if chunk.size < 0:
            return
        at = chunk.end(dialect.alignment)


def _size_of_data(data: FileBytes, chunk: Chunk, before: dict[bytes, Chunk]) -> int | None:
    """The announced bytes of audio; None if the writer did not know them."""
    if (sizes := before.get(b"ds64")) is not None and chunk.size == 0xFFFFFFFF:
        size = int.from_bytes(data.read(sizes.start + 8, 8), "little")
        return None if size in (0, 0xFFFFFFFF, (1 << 64) - 1) else size
    is_large = chunk.size >= STREAMED_BYTES and chunk.start + chunk.size > data.size
    is_streamed = chunk.size == 0xFFFFFFFF or is_large
    return None if is_streamed or chunk.size < 0 else chunk.size


def _chain_end(data: FileBytes, at: int, dialect: Dialect) -> int | None:
    """The end of a chain of chunks that starts here; None if there is none.

    The size of the whole file is not looked at: tools write it wrong by 8. What is cut behind the data is no audio.
    """
    end = at
    while (chunk := dialect.chunk(data, end)) is not None:
        if chunk.name == b"data":
            raise refuse(Reason.AUDIO_TRAILING, f"a second data chunk at byte {end}", data.name)
        is_plain = all(32 <= letter < 127 for letter in chunk.name)
        if not is_plain or chunk.name in (b"RIFF", b"RIFX", b"RF64", b"TAG ") or chunk.size < 0:
            break
        if chunk.start + chunk.size > data.size and chunk.name not in METADATA:
            break
        end = min(chunk.end(dialect.alignment), data.size)
    return end if end > at else None


def _describe(
    data: FileBytes, header: tuple[int, int], before: dict[bytes, Chunk], extent: Extent, kind: str, dialect: Dialect
) -> Part:
    layout = data.read(before[b"fmt "].start, min(before[b"fmt "].size, 64))
    if len(layout) < 16:
        raise refuse(Reason.AUDIO_CORRUPT, f"the fmt chunk has {len(layout)} bytes, expected 16", data.name)
    tag, _, _, _, block_bytes, _ = struct.unpack(dialect.order + "HHIIHH", layout[:16])
    if tag == EXTENSIBLE and len(layout) >= 26:
        tag = struct.unpack(dialect.order + "H", layout[24:26])[0]
    size = extent.end - extent.start
    is_plain = tag in ONE_FRAME_PER_BLOCK and block_bytes > 0
    head = _corrected_header(data, header, size, dialect)
    is_counted = not is_plain and extent.announced is None
    fact = _samples_of_fact(data, before, layout, size, dialect) if is_counted else None
    return Part(
        format=kind,
        chunks=(head, (extent.start, extent.end)),
        end=extent.next,
        decoder="soundfile" if tag in OF_SOUNDFILE else "av",
        num_samples=size // block_bytes if is_plain else None,
        trimmed_to=fact,
    ).with_recovery(extent, block_bytes if is_plain else None)


def _samples_of_fact(
    data: FileBytes, before: dict[bytes, Chunk], layout: bytes, size: int, dialect: Dialect
) -> int | None:
    """The samples that the fact chunk announces, if they end in the last block; None if they do not."""
    if b"fact" not in before:
        return None
    announced: int = struct.unpack(dialect.order + "I", data.read(before[b"fact"].start, 4).ljust(4, b"\0"))[0]
    block_bytes = int(struct.unpack(dialect.order + "H", layout[12:14])[0])
    in_block = struct.unpack(dialect.order + "H", layout[18:20])[0] if len(layout) >= 20 else 0
    if not block_bytes or not in_block:
        return None
    blocks = -(-size // block_bytes)
    return announced if (blocks - 1) * in_block < announced <= blocks * in_block else None


def _corrected_header(data: FileBytes, header: tuple[int, int], size: int, dialect: Dialect) -> bytes:
    """The header, up to the data, with sizes that fit the data."""
    head = bytearray(data.read(header[0], header[1] - header[0]))
    if dialect.is_wave64:
        head[16:24] = struct.pack("<Q", len(head) + size)
        head[-8:] = struct.pack("<Q", 24 + size)
        return bytes(head)
    total = len(head) - 8 + size
    if total <= MAX_RIFF_BYTES and bytes(head[:4]) in (b"RIFF", b"RIFX"):
        head[4:8] = struct.pack(dialect.order + "I", total)
        head[-4:] = struct.pack(dialect.order + "I", size)
        return bytes(head)
    head[4:8] = head[-4:] = b"\xff" * 4
    if head[12:16] == b"ds64":
        head[20:36] = struct.pack("<QQ", total, size)
        return bytes(head)
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, total + 36, size, 0, 0)
    return b"RF64" + bytes(head[4:12]) + sizes + bytes(head[12:])
