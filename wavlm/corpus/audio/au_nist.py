"""Sun AU and NIST SPHERE: a header, then audio until the end of the file."""

from __future__ import annotations

import re
import struct

from wavlm.corpus.audio.extent import settle_extent
from wavlm.corpus.audio.file_bytes import FileBytes
from wavlm.corpus.audio.part import Part
from wavlm.corpus.audio.reason import Reason, refuse

AU_UNKNOWN = 0xFFFFFFFF
# Bytes per sample of the encodings that have a whole number of them (pubs.opengroup.org, external/auformat.html).
AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
_FIELD = re.compile(rb"^(\w+) -([irs])\d* (.*)$", re.MULTILINE)
MAX_NIST_HEADER = 1 << 16


def walk_au(data: FileBytes, start: int) -> Part:
    """The recording in an AU file, of either byte order."""
    head = data.read(start, 24)
    order = ">" if head[:4] == b".snd" else "<"
    if len(head) < 24:
        raise refuse(Reason.AUDIO_TRUNCATED, f"an AU header of {len(head)} bytes, expected 24", data.name)
    offset, announced, encoding, _, channels = struct.unpack(order + "5I", head[4:])
    if not 24 <= offset <= data.size - start:
        raise refuse(Reason.AUDIO_CORRUPT, f"the AU header says that audio starts at byte {offset}", data.name)
    is_known = announced < AU_UNKNOWN - 1
    extent = settle_extent(data, start + offset, announced if is_known else None)
    size = extent.end - extent.start
    frame_bytes = AU_BYTES.get(encoding, 0) * channels
    header = head[:8] + struct.pack(order + "I", min(size, AU_UNKNOWN)) + data.read(start + 12, offset - 12)
    return Part(
        format="AU",
        chunks=(header, (extent.start, extent.end)),
        end=extent.next,
        num_samples=size // frame_bytes if frame_bytes else None,
    ).with_recovery(extent, frame_bytes)


def walk_nist(data: FileBytes, start: int) -> Part:
    """The recording in a NIST SPHERE file. Raises AudioError for one that is compressed with shorten or wavpack."""
    lines = data.read(start, 16).split(b"\n")
    size = int(lines[1]) if len(lines) > 1 and lines[1].strip().isdigit() else 0
    if not 16 < size <= MAX_NIST_HEADER:
        raise refuse(Reason.AUDIO_CORRUPT, f"the NIST header says that it has {size} bytes", data.name)
    header = data.read(start, size)
    fields = {match[1]: match[3].strip() for match in _FIELD.finditer(header)}
    coding = fields.get(b"sample_coding", b"pcm").decode("ascii", "replace")
    if "embedded" in coding:
        what = f"NIST audio is compressed ({coding}), which no decoder here reads; sph2pipe unpacks it"
        raise refuse(Reason.AUDIO_UNREADABLE, what, data.name)
    frame_bytes = _number(fields, b"channel_count", 1) * _number(fields, b"sample_n_bytes", 2)
    count = _number(fields, b"sample_count", -1)
    if frame_bytes <= 0:
        raise refuse(Reason.AUDIO_CORRUPT, f"the NIST header says {frame_bytes} bytes per frame", data.name)
    extent = settle_extent(data, start + size, count * frame_bytes if count >= 0 else None)
    found = (extent.end - extent.start) // frame_bytes
    patched = re.sub(rb"(?m)^sample_count -i \d+ *", b"sample_count -i %d" % found, header).rstrip(b"\0 \n")
    return Part(
        format="NIST",
        chunks=(patched[:size] + b"\n" * max(size - len(patched), 0), (extent.start, extent.end)),
        end=extent.next,
        num_samples=found,
    ).with_recovery(extent, frame_bytes)


def _number(fields: dict[bytes, bytes], name: bytes, default: int) -> int:
    value = fields.get(name, b"")
    return int(value) if value.lstrip(b"-").isdigit() else default
