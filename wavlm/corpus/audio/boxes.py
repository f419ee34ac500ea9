"""Containers that PyAV reads: MP4, Matroska, ASF, AMR and WavPack. Only their outer sizes are read.

A size that reaches behind the file means that bytes are missing. What is inside is PyAV's matter.
"""

from __future__ import annotations

import struct

from wavlm.corpus.audio.file_bytes import FileBytes
from wavlm.corpus.audio.part import Part, truncation
from wavlm.corpus.audio.reason import AudioError, Reason, refuse

MP4_BOXES = frozenset(
    {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"udta", b"uuid", b"meta", b"pnot", b"moof", b"mfra"}
    | {b"sidx", b"styp", b"pdin", b"emsg", b"prft", b"ssix", b"junk", b"PICT", b"mfro", b"imda"}
)
ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
AMR_NB_BYTES = (12, 13, 15, 17, 19, 20, 26, 31, 5)  # behind the byte of a frame, by its type (RFC 4867, 5.3)
AMR_WB_BYTES = (17, 23, 32, 36, 40, 46, 50, 58, 60, 5)
EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
TOP_LEVEL = frozenset({0x114D9B74, 0x1549A966, 0x1654AE6B, CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367})
UNKNOWN_SIZE = -1
FIRST_OF_FRAME = 8  # bit 11 of the flags: further blocks hold further channels


def walk_mp4(data: FileBytes, start: int) -> Part:
    """The recording in an MP4 or QuickTime file: its boxes, of which `moov` is the index."""
    at, names = start, set[bytes]()
    while len(head := data.read(at, 16)) >= 8:
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        if name not in MP4_BOXES or (name == b"ftyp" and at > start):
            break
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        names.add(name)
        at = data.size if size == 0 else at + max(size, 8)
        if at > data.size:
            raise truncation(f"the box {name.decode('ascii')} ends at byte {at}", data)
    if b"moov" not in names:
        raise refuse(Reason.AUDIO_TRUNCATED, "the index of the MP4 file is missing (no box moov)", data.name)
    return Part("MP4", ((start, at),), at, "av")


def walk_matroska(data: FileBytes, start: int) -> Part:
    """The recording in a Matroska or WebM file. A browser writes segments and clusters of unknown size."""
    at, has_segment = start, False
    while (element := _element(data, at)) is not None:
        name, content, size = element
        is_known = name in (EBML, SEGMENT, 0xEC) or (has_segment and (name in TOP_LEVEL or _is_in_cluster(name)))
        if not is_known or (name == EBML and at > start):
            break
        has_segment = has_segment or name == SEGMENT
        if size == UNKNOWN_SIZE and name in (SEGMENT, CLUSTER):
            at = content
            continue
        at = content + max(size, 0)
        if at > data.size:
            raise truncation(f"a Matroska element ends at byte {at}", data)
    if not has_segment:
        raise refuse(Reason.AUDIO_TRUNCATED, "there is no Matroska segment", data.name)
    return Part("MATROSKA", ((start, at),), at, "av")


def _element(data: FileBytes, at: int) -> tuple[int, int, int] | None:
    """The name, the start of the content and the size of an element (RFC 8794, section 4); None at the end."""
    head = data.read(at, 12)
    if not head or not head[0] & 0xF0:
        return None
    name_bytes = 9 - head[0].bit_length()
    rest = head[name_bytes:]
    if not rest or not rest[0]:
        return None
    size_bytes = 9 - rest[0].bit_length()
    size = int.from_bytes(rest[:size_bytes], "big") & ((1 << 7 * size_bytes) - 1)
    is_unknown = size == (1 << 7 * size_bytes) - 1
    name = int.from_bytes(head[:name_bytes], "big")
    return name, at + name_bytes + size_bytes, UNKNOWN_SIZE if is_unknown else size


def _is_in_cluster(name: int) -> bool:
    """Whether an element stands in a cluster: time, block, block group, position, size of the cluster before."""
    return name in (0xE7, 0xA3, 0xA0, 0xA7, 0xAB, 0x5854, 0xEC, 0xBF)


def walk_asf(data: FileBytes, start: int) -> Part:
    """The recording in an ASF (WMA) file: its objects, each a GUID and a size of 64 bits."""
    at = start
    while len(head := data.read(at, 24)) == 24:
        size = struct.unpack("<Q", head[16:])[0]
        is_streamed = head[:16] == ASF_DATA and size == 0
        if not is_streamed and (size < 24 or (at > start and not _is_asf(head))):
            break
        at = data.size if is_streamed else at + size
        if at > data.size:
            raise truncation(f"an ASF object ends at byte {at}", data)
    if data.read(at, 1) == b"\0":  # the padding of the last packet, if bytes were inserted before it
        raise refuse(Reason.AUDIO_TRAILING, f"zeros follow the ASF file at byte {at}", data.name)
    return Part("ASF", ((start, at),), at, "av")


def _is_asf(head: bytes) -> bool:
    """Whether a GUID is one of the objects that stand at the top: data or one of the indexes."""
    return head[:16] == ASF_DATA or head[:4].hex() in ("90080033", "d329e2d6", "f803b1fe", "d03fb73c")


def walk_amr(data: FileBytes, start: int) -> Part:
    """The recording in an AMR file of one channel (RFC 4867, section 5)."""
    is_wide = data.read(start, 9) == b"#!AMR-WB\n"
    at, sizes = (start + 9, AMR_WB_BYTES) if is_wide else (start + 6, AMR_NB_BYTES)
    frames = 0
    while head := data.read(at, 1):
        if head == b"\0" and data.skip_zeros(at) == data.size:
            break
        kind = head[0] >> 3 & 15
        if head[0] & 0x83 or (kind >= len(sizes) and kind < 14):
            break
        size = 1 + (sizes[kind] if kind < len(sizes) else 0)
        if at + size > data.size:
            raise truncation(f"the last AMR frame ends at byte {at + size}", data)
        at, frames = at + size, frames + 1
    return Part("AMR", ((start, at),), at, "av", frames * (320 if is_wide else 160), is_measured=True)


def walk_wavpack(data: FileBytes, start: int) -> Part:
    """The recording in a WavPack file: blocks of 32 bytes of header, each with its place in the recording."""
    at, num_samples = start, 0
    while len(head := data.read(at, 32)) == 32 and head[:4] == b"wvpk":
        size, _, upper, _, index, count = struct.unpack("<IHBBxxxxII", head[4:24])
        index += upper << 32
        if count and index == 0 and num_samples and head[24] & FIRST_OF_FRAME:
            break  # the next recording
        if count and index > num_samples:
            raise _gap(f"{index - num_samples} samples are missing before byte {at}", data)
        num_samples = max(num_samples, index + count)
        at += 8 + size
        if at > data.size:
            raise truncation(f"the last WavPack block ends at byte {at}", data)
    announced = int.from_bytes(data.read(start + 12, 4), "little")
    if announced != 0xFFFFFFFF and announced > num_samples:
        raise truncation(f"the WavPack header announces {announced} samples, found {num_samples}", data)
    return Part("WAVPACK", ((start, at),), at, "av", num_samples, is_measured=True)


def _gap(what: str, data: FileBytes) -> AudioError:
    return refuse(Reason.AUDIO_CORRUPT, what, data.name)
