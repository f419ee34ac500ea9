"""Open an audio file: what it says of itself, and its samples in blocks of bounded memory.

Shapes: C channels, T samples.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavlm.corpus.audio.reason import Note
from wavlm.corpus.audio.whole import decode_bytes, read_recording

BLOCK_SECONDS = 10
Block = NDArray[np.float32]  # (C, T)


@dataclass(frozen=True)
class AudioInfo:
    """What a file is, by its headers."""

    format: str
    subtype: str
    sample_rate_hz: int
    channels: int
    num_samples: int  # per channel
    is_measured: bool  # by decoding; False: from a header whose length is possible


class AudioStream:
    """The samples of an open file. `num_samples`, `clipped` and `notes` are complete when `blocks` has ended."""

    def __init__(self, info: AudioInfo, waveform: Block) -> None:
        self.info = info
        self.num_samples = 0  # decoded so far, per channel
        self.clipped = 0  # samples above full scale that were clipped to it, over all channels
        self.notes: tuple[Note, ...] = ()
        self._waveform = waveform

    def blocks(self) -> Iterator[Block]:
        """Blocks of about 10 s, (C, T) float32 within -1 .. 1. Raises AudioError, also after the last block."""
        step = BLOCK_SECONDS * self.info.sample_rate_hz
        for start in range(0, self._waveform.shape[1], step):
            block = self._waveform[:, start : start + step]
            self.num_samples += block.shape[1]
            yield block


def probe(path: Path) -> AudioInfo:
    """What a file is and how long. Raises AudioError."""
    with open_audio(path) as stream:
        return stream.info


@contextmanager
def open_audio(path: Path) -> Iterator[AudioStream]:
    """Open a file for reading its samples once. Raises AudioError."""
    import soundfile

    blob = read_recording(path)
    audio = decode_bytes(blob, path.name)
    try:
        header = soundfile.info(io.BytesIO(blob))
        kind, subtype = header.format, header.subtype
    except soundfile.SoundFileError:
        kind, subtype = "G722", "G722"
    channels, num_samples = audio.waveform.shape
    info = AudioInfo(kind, subtype, audio.sample_rate_hz, channels, num_samples, is_measured=True)
    yield AudioStream(info, audio.waveform)
