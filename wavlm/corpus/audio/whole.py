"""Decode a recording as a whole to a 16 kHz mono waveform, and refuse one that teaches nothing.

Shapes: C channels, T samples.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from wavlm.corpus.audio.file_bytes import FileBytes, open_bytes
from wavlm.corpus.audio.reason import Reason, refuse
from wavlm.corpus.audio.stream import AudioStream, open_stream
from wavlm.specs import SAMPLE_RATE_HZ

FULL_SCALE = 32768  # the int16 value of an amplitude of 1
# Two hours are 460 MB of float32 at 16 kHz. Longer recordings are read in blocks.
MAX_SECONDS = 7200
SILENT_PCM16_RANGE = 16  # peak to peak, in int16 units; G.722 of digital silence has a range of 7

Waveform = NDArray[np.float32]


@dataclass(frozen=True)
class Audio:
    """A decoded recording: finite, not constant, within full scale."""

    waveform: Waveform  # (C, T)
    sample_rate_hz: int


def decode(path: Path) -> Audio:
    """Decode a file of any format in docs/formats.md.

    Raises AudioError, whose `code` is a `Reason`, for a recording that must not be used for training.
    """
    with open_bytes(path) as data:
        return _decode(data)


def read_recording(path: Path) -> bytes:
    """The bytes of a recording."""
    return path.read_bytes()


def decode_bytes(blob: bytes, name: str) -> Audio:
    """Like `decode`, given the content of a file and its name."""
    if not blob:
        raise refuse(Reason.AUDIO_UNREADABLE, "the file has 0 bytes", name)
    with tempfile.TemporaryFile() as file:
        file.write(blob)
        file.flush()
        return _decode(FileBytes(file.fileno(), len(blob), name))


def to_utterance(audio: Audio) -> Waveform:
    """Mono (mean of the channels) at 16 kHz, (T,), with T = floor(samples * 16000 / rate + 1/2).

    soxr resamples with its setting HQ. The result may exceed full scale a little; `wavlm.shards.flac` clips it.
    """
    mono: Waveform = audio.waveform.mean(axis=0, dtype=np.float32)
    rate_hz = audio.sample_rate_hz
    if rate_hz == SAMPLE_RATE_HZ:
        return mono
    import soxr  # imported here because reading shards does not need it

    resampled = soxr.resample(mono, rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    expected = (2 * len(mono) * SAMPLE_RATE_HZ + rate_hz) // (2 * rate_hz)
    if len(resampled) != expected:
        raise ValueError(f"soxr made {len(resampled)} of {len(mono)} samples at {rate_hz} Hz, not {expected}")
    return cast(Waveform, resampled.astype(np.float32, copy=False))


def _decode(data: FileBytes) -> Audio:
    stream = open_stream(data)
    _check_length(stream, data.name)
    audio = Audio(np.concatenate(list(stream.blocks()), axis=1), stream.info.sample_rate_hz)
    _refuse_silence(audio, data.name)
    return audio


def _check_length(stream: AudioStream, name: str) -> None:
    seconds = stream.info.num_samples / stream.info.sample_rate_hz
    if seconds > MAX_SECONDS:
        raise refuse(Reason.AUDIO_TOO_LONG, f"{seconds:.0f} s, expected at most {MAX_SECONDS}", name)


def _refuse_silence(audio: Audio, name: str) -> None:
    """Refuse a constant, also with the noise of a codec: it teaches nothing, and mixing needs a level."""
    pcm16_range = float(np.ptp(audio.waveform.mean(axis=0))) * FULL_SCALE
    if pcm16_range < SILENT_PCM16_RANGE:
        what = f"the samples have a range of {pcm16_range:.1f} in int16 units, expected {SILENT_PCM16_RANGE}"
        raise refuse(Reason.AUDIO_SILENT, what, name)
