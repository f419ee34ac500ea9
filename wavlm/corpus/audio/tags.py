"""What may stand before, between and behind recordings without being audio: tags, zeros, and marks of other files."""

from __future__ import annotations

from wavlm.corpus.audio.file_bytes import FileBytes
from wavlm.corpus.audio.formats import HEAD_BYTES, SHORT_MARKS, mark_of

# Marks that are long enough to be searched for in audio: an accident is less likely than one in 2**64.
Marks = tuple[tuple[bytes, int], ...]  # a mark, and its position in a file
FLAC_MARKS: Marks = ((b"fLaC\0\0\0\x22", 0), (b"fLaC\x80\0\0\x22", 0))
MARKS: Marks = (
    (b"WAVEfmt ", 8),
    (b"WAVEds64", 8),
    *FLAC_MARKS,
    (b"NIST_1A\n", 0),
    (b"AIFFCOMM", 8),
    (b".snd\0\0\0\x18", 0),
    (b"caff\0\1\0\0desc", 0),
)


def skip_tags(data: FileBytes, at: int) -> int:
    """The first position that is in no ID3, APE or Lyrics3 tag and in no run of zeros."""
    while (behind := _skip_one(data, at)) > at:
        at = behind
    return at


def next_file(data: FileBytes, start: int, end: int | None = None, marks: Marks = MARKS) -> int:
    """The first position before `end` (of the file) at which another file starts by its mark; else `end`."""
    end = data.size if end is None else min(end, data.size)
    found = [
        at - offset
        for mark, offset in marks
        if (at := data.find(mark, start + offset, min(end - 1 + offset + len(mark), data.size))) >= 0
    ]
    return min([*found, end])


def before_tags(data: FileBytes, end: int) -> int:
    """The position at which the ID3v1 and APE tags start that end here; `end` if there are none."""
    if end > 128 and data.read(end - 128, 3) == b"TAG":
        end -= 128
    footer = data.read(end - 32, 32) if end > 32 else b""
    if footer[:8] == b"APETAGEX":
        size, flags = int.from_bytes(footer[12:16], "little"), int.from_bytes(footer[20:24], "little")
        start = end - size - (32 if flags >> 31 else 0)
        return start if start >= 0 else end
    return end


def is_clean(data: FileBytes, at: int) -> bool:
    """Whether only tags and zeros follow, up to the end of the file or another file."""
    behind = skip_tags(data, at)
    mark = mark_of(data.read(behind, HEAD_BYTES))
    return behind >= data.size or (mark is not None and mark not in SHORT_MARKS)


def is_text(head: bytes) -> bool:
    """Whether bytes are plain text, such as XML or a log; audio has bytes of other values within a few samples."""
    return len(head) >= 16 and all(9 <= byte <= 13 or 32 <= byte < 127 for byte in head)


def id3v2_bytes(head: bytes) -> int:
    """The size of an ID3v2 tag, given its first ten bytes; 0 if it is none."""
    if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:10]):
        return 0
    size = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    return 10 + size + (10 if head[5] & 0x10 else 0)


def _skip_one(data: FileBytes, at: int) -> int:
    """The position behind what starts here; `at` if it is none of these."""
    head = data.read(at, 32)
    if head[:1] == b"\0":
        return data.skip_zeros(at)
    size = id3v2_bytes(head) or _id3v1_bytes(head) or _ape_bytes(head) or _lyrics_bytes(data, at, head)
    return min(at + size, data.size)


def _id3v1_bytes(head: bytes) -> int:
    return 227 if head[:4] == b"TAG+" else 128 if head[:3] == b"TAG" else 0


def _ape_bytes(head: bytes) -> int:
    """The size of an APE tag that starts with its header, or of a footer that is left alone."""
    if head[:8] != b"APETAGEX" or len(head) < 32:
        return 0
    is_header = int.from_bytes(head[20:24], "little") >> 29 & 1
    return 32 + (int.from_bytes(head[12:16], "little") if is_header else 0)


def _lyrics_bytes(data: FileBytes, at: int, head: bytes) -> int:
    if head[:11] != b"LYRICSBEGIN":
        return 0
    end = data.find(b"LYRICS200", at, min(at + 1_000_000, data.size))
    return end + 9 - at if end >= 0 else 0
