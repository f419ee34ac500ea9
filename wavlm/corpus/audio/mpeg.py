"""MPEG audio (MP1, MP2, MP3) and AAC in ADTS: frames behind each other, each with its own header.

The number of frames is counted: a header without an info frame has no length, and what libsndfile reports is an
estimate (a cover picture of 300 kB made 46 s of 8.5 s). An info frame starts a new recording, as does a change of
sample rate or channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from wavlm.corpus.audio.file_bytes import FileBytes, Range
from wavlm.corpus.audio.part import Part, recovery, truncation
from wavlm.corpus.audio.reason import Reason, refuse
from wavlm.corpus.audio.tags import before_tags, skip_tags

DECODER_DELAY = 529  # samples that mpg123 takes off if there is an info frame
WINDOW_BYTES = 1 << 20
# kbit/s by (version 1?, layer), ISO 11172-3 and 13818-3.
_RATES_KBIT = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_KBIT[False, 3] = _RATES_KBIT[False, 2]
_RATES_HZ = (44100, 48000, 32000)
_ADTS_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)

_AC3_KBIT = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)


@dataclass(frozen=True)
class Frame:
    """What the header of a frame says."""

    size: int  # bytes
    samples: int  # per channel
    kind: tuple[int, ...]  # layer, sample rate and channels: the same within a recording
    layer: int = 0
    info_at: int = 0  # where an info frame has its mark


@dataclass(frozen=True)
class Info:
    """The first frame of an MP3 file, which holds numbers instead of audio (Xing, Info or VBRI)."""

    frames: int  # 0: not said
    bytes: int  # of all frames, with this one
    frames_at: int = 0  # the position of the number of frames in the frame; 0: not said
    padding: int = 0  # samples that the encoder added at both ends, which a decoder takes off


def parse_mpeg(head: bytes) -> Frame | None:
    """The frame that starts with these four bytes or more; None if no decoder can tell its size."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate_code, hz_code = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or rate_code in (0, 15) or hz_code == 3:
        return None
    is_first = version == 3
    rate_hz = _RATES_HZ[hz_code] >> {3: 0, 2: 1, 0: 2}[version]
    bits = 1000 * _RATES_KBIT[is_first, layer][rate_code - 1]
    padding, is_mono = head[2] >> 1 & 1, head[3] >> 6 == 3
    if layer == 1:
        size, samples = 4 * (12 * bits // rate_hz + padding), 384
    else:
        samples = 1152 if layer == 2 or is_first else 576
        size = samples // 8 * bits // rate_hz + padding
    side = {(True, False): 32, (False, True): 9}.get((is_first, is_mono), 17)
    return Frame(size, samples, (layer, rate_hz, 1 if is_mono else 2), layer, 4 + side)


def parse_adts(head: bytes) -> Frame | None:
    """The AAC frame that starts with these seven bytes or more (ISO 13818-7, 6.2)."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 >= len(_ADTS_HZ):
        return None
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    channels = (head[2] & 1) << 2 | head[3] >> 6
    rate_hz = _ADTS_HZ[head[2] >> 2 & 15]
    return Frame(size, 1024 * ((head[6] & 3) + 1), (4, rate_hz, channels)) if size > 7 else None


def parse_ac3(head: bytes) -> Frame | None:
    """The AC-3 or E-AC-3 frame that starts with these eight bytes or more (ATSC A/52, 5.3 and E.2.2)."""
    if len(head) < 7 or head[:2] != b"\x0b\x77":
        return None
    if head[5] >> 3 > 10:
        return Frame(2 * (((head[2] & 7) << 8 | head[3]) + 1), 0, (5, 0, 0))
    code, hz_code = head[4] & 63, head[4] >> 6
    if code >= 38 or hz_code == 3:
        return None
    rate = _AC3_KBIT[code >> 1]
    words = {0: 2 * rate, 1: rate * 320 // 147 + (code & 1), 2: 3 * rate}[hz_code]
    return Frame(2 * words, 1536, (5, hz_code, 0))


def is_mpeg(data: FileBytes, at: int, parse: Callable[[bytes], Frame | None] = parse_mpeg) -> bool:
    """Whether two frames of one kind stand here, or one that ends the file: a sync code alone may be an accident."""
    first = parse(data.read(at, 8))
    if first is None:
        return False
    behind = at + first.size
    second = parse(data.read(behind, 8))
    return second.kind == first.kind if second else skip_tags(data, behind) >= data.size > at


def walk_adts(data: FileBytes, start: int) -> Part:
    """The AAC frames that start here."""
    end, num_samples = start, 0
    for at, frame, _ in _frames(data, start, parse_adts):
        end, num_samples = at + frame.size, num_samples + frame.samples
    _check_end(data, end, parse_adts)
    first = parse_adts(data.read(start, 8))
    rate_hz = first.kind[1] if first is not None else None  # HE-AAC decodes to twice this rate
    return Part("ADTS", ((start, end),), end, "av", num_samples, rate_hz=rate_hz, is_measured=True)


def walk_ac3(data: FileBytes, start: int) -> Part:
    """The AC-3 frames that start here."""
    end = start
    for at, frame, _ in _frames(data, start, parse_ac3):
        end = at + frame.size
    _check_end(data, end, parse_ac3)
    return Part("AC3", ((start, end),), end, "av")


def walk_mpeg(data: FileBytes, start: int) -> Part:
    """The MPEG frames that start here, up to the next recording. Raises AudioError if the last one is cut."""
    first = parse_mpeg(data.read(start, 8))
    if first is None:
        raise refuse(Reason.AUDIO_CORRUPT, f"no MPEG frame at byte {start}", data.name)
    head = data.read(start, first.size)
    info = _read_info(head, first) if first.layer == 3 else None
    audio_at = start + first.size if info else start
    end, frames, samples = audio_at, 0, 0
    for at, frame, blob in _frames(data, audio_at, parse_mpeg):
        is_next = frame.kind != first.kind or (at > audio_at and frame.layer == 3 and _is_info(blob, frame))
        if is_next:
            break
        end, frames, samples = at + frame.size, frames + 1, samples + frame.samples
    _check_end(data, end, parse_mpeg)
    if first.layer != 3:
        return Part("MP3", ((start, end),), end, "av", samples, is_measured=True)
    if info is None:
        return _without_info(head, (start, end), frames)
    return _with_info(data, (start, audio_at, end), head, info, frames)


def _with_info(data: FileBytes, where: tuple[int, int, int], head: bytes, info: Info, frames: int) -> Part:
    """The recording whose info frame may say another number of frames than there are."""
    start, audio_at, end = where
    if info.frames > frames + 1 or (info.bytes > end - start and start + info.bytes > data.size):
        what = f"the MP3 info frame announces {info.frames} frames in {info.bytes} bytes, found {frames}"
        raise truncation(what, data)
    notes = (recovery(info.frames, frames, "frames"),) if 0 < info.frames < frames else ()
    first = parse_mpeg(head)
    samples = frames * (first.samples if first else 0)
    if first is None or not info.frames_at or not 0 < info.padding < samples:
        return replace(_without_info(head, (audio_at, end), frames), notes=notes)
    # Between the header and the mark are zeros, or a decoder takes the frame for audio.
    clean = head[:4] + bytes(first.info_at - 4) + head[first.info_at : info.frames_at]
    clean += frames.to_bytes(4, "big") + head[info.frames_at + 4 :]
    return Part("MP3", (clean, (audio_at, end)), end, num_samples=samples - info.padding, is_measured=True, notes=notes)


def _without_info(head: bytes, frames: Range, count: int) -> Part:
    """A recording of this many frames that has no info frame with padding; `head` starts with one of its headers.

    libsndfile ends at the length of the info frame or, without one, at an estimate: with a variable rate it read 26,424
    of 39,744 samples. So an info frame is put in front. With it, mpg123 takes off the delay of a decoder. A silent
    frame in front makes up for that, and the samples that it gives more are skipped.
    """
    # No checksum, and the highest rate, so that the frame is large enough; then the lowest, for a short reservoir.
    said, silent = (bytes([head[0], head[1] | 1, head[2] & 0x0C | rate << 4, head[3]]) for rate in (14, 4))
    info, silence = parse_mpeg(said), parse_mpeg(silent)
    assert info is not None  # noqa: S101 - these are headers
    assert silence is not None  # noqa: S101
    said += bytes(info.info_at - 4) + b"Info" + (1).to_bytes(4, "big") + (count + 1).to_bytes(4, "big")
    return Part(
        format="MP3",
        chunks=(said.ljust(info.size, b"\0") + silent.ljust(silence.size, b"\0"), frames),
        end=frames[1],
        num_samples=count * info.samples,
        num_skipped=info.samples - DECODER_DELAY,
        is_measured=True,
    )


def _frames(data: FileBytes, at: int, parse: Callable[[bytes], Frame | None]) -> Iterator[tuple[int, Frame, bytes]]:
    """Position, header and first bytes of each frame that is whole, as long as frames follow each other."""
    window, window_at = b"", at
    while True:
        if at + 256 > window_at + len(window) and window_at + len(window) < data.size:
            window, window_at = data.read(at, WINDOW_BYTES), at
        head = window[at - window_at : at - window_at + 64]
        frame = parse(head)
        if frame is None or at + frame.size > data.size or head[:3] in (b"TAG", b"ID3"):
            return
        yield at, frame, head
        at += frame.size


def _check_end(data: FileBytes, end: int, parse: Callable[[bytes], Frame | None]) -> None:
    """Refuse a file whose last frame is cut. What else follows is looked at by the caller."""
    rest = before_tags(data, data.size) - end
    frame = parse(data.read(end, 8))
    if frame is not None and end + frame.size > data.size and rest > 0:
        raise truncation(f"the last frame ends at byte {end + frame.size}", data)


def _is_info(head: bytes, frame: Frame) -> bool:
    return head[frame.info_at : frame.info_at + 4] in (b"Xing", b"Info") or head[36:40] == b"VBRI"


def _read_info(head: bytes, frame: Frame) -> Info | None:
    """The info frame, if this is one (gabriel.mp3-tech.org/mp3infotag.html)."""
    if not _is_info(head[:64], frame):
        return None
    if head[36:40] == b"VBRI":
        return Info(int.from_bytes(head[50:54], "big"), int.from_bytes(head[46:50], "big"))
    at = frame.info_at
    flags, position = int.from_bytes(head[at + 4 : at + 8], "big"), at + 8
    fields = []
    for flag, size in ((1, 4), (2, 4), (4, 100), (8, 4)):  # frames, bytes, table of contents, quality
        size_here = size if flags & flag else 0
        fields.append(int.from_bytes(head[position : position + size_here], "big"))
        position += size_here
    padding = head[position + 21 : position + 24]  # twice 12 bits
    packed = int.from_bytes(padding, "big") if len(padding) == 3 else 0
    return Info(fields[0], fields[1], at + 8 if flags & 1 else 0, (packed >> 12) + (packed & 0xFFF))
