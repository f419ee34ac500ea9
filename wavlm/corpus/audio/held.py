"""Measure a file whose bytes are in memory, without any decoder: what is unpacked need not be read again."""

from __future__ import annotations

from typing import NamedTuple

from wavlm.corpus.audio.file_bytes import hold
from wavlm.corpus.audio.flac import STREAMINFO_BYTES, flac_stream_info, walk_flac
from wavlm.corpus.audio.reason import AudioError
from wavlm.corpus.audio.stream import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ

HELD_BYTES = 128 << 20  # of one file: two hours of FLAC


class Measured(NamedTuple):
    """The rate of a file, and its samples per channel."""

    rate_hz: int
    num_samples: int


def measure_flac(blob: bytearray, name: str) -> Measured | None:
    """What `wavlm.corpus.audio.stream.probe` finds in a FLAC file that is as its header says; None for any other file.

    Those others have to be looked at by `probe`, which knows more, and which needs a decoder and a process for it.
    """
    try:
        part = walk_flac(hold(blob, name), 0)
    except AudioError:
        return None
    info = flac_stream_info(bytes(blob[: 8 + STREAMINFO_BYTES]))
    is_plain = part.end == len(blob) and not part.notes and part.complaint is None
    if not is_plain or info is None or not part.num_samples or part.num_samples != info.num_samples:
        return None
    packed = int.from_bytes(blob[18:26], "big")
    rate_hz, channels = packed >> 44, (packed >> 41 & 7) + 1
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ or channels > MAX_CHANNELS:
        return None
    return Measured(rate_hz, part.num_samples)
