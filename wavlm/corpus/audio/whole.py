"""Decode audio files to 16 kHz mono waveforms, and refuse bad ones.

Every file is decoded once, in full, and checked here. Later stages read the FLAC that `wavlm.shards.flac` wrote.

Shapes: C channels, T samples.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import soundfile
from numpy.typing import NDArray

from wavlm.corpus.audio.containers import check_container, flac_stream_info
from wavlm.corpus.audio.reason import AudioError, Reason
from wavlm.specs import SAMPLE_RATE_HZ

FULL_SCALE = 32768  # the int16 value of an amplitude of 1
MAX_CHANNELS = 8
# Two hours are 460 MB of float32 at 16 kHz. Longer recordings, such as sessions of a parliament, must be cut before.
MAX_SECONDS = 7200
MAX_FILE_BYTES = 1 << 32  # the largest size that a RIFF header can hold
MIN_RATE_HZ, MAX_RATE_HZ = 4000, 192000
LOSSY_PEAK = 2.0  # decoders of lossy formats may exceed full scale a little; that is clipped
SILENT_PCM16_RANGE = 16  # peak to peak, in int16 units; G.722 of digital silence has a range of 7
G722_SAMPLES_PER_BYTE = 2  # 64 kbit/s at 16 kHz (ITU-T G.722)

_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3"})
_LOSSY = frozenset({"VORBIS", "OPUS", "MPEG_LAYER_III"})

Waveform = NDArray[np.float32]


@dataclass(frozen=True)
class Audio:
    """A decoded recording: finite, not constant, within full scale."""

    waveform: Waveform  # (C, T)
    sample_rate_hz: int


def decode(path: Path) -> Audio:
    """Decode WAV, FLAC, Ogg Vorbis, Opus, MP3 (found by content) or raw G.722 (found by its suffix .g722).

    Raises AudioError, whose `code` is a `Reason`, for a recording that must not be used for training.
    """
    return decode_bytes(read_recording(path), path.name)


def read_recording(path: Path) -> bytes:
    """The bytes of a recording. Raises AudioError for a file that is too large."""
    if (size := path.stat().st_size) > MAX_FILE_BYTES:
        raise AudioError(
            Reason.AUDIO_TOO_LONG,
            f"the file has {size} bytes, expected at most {MAX_FILE_BYTES}; in {path.name}",
        )
    return path.read_bytes()


def decode_bytes(blob: bytes, name: str) -> Audio:
    """Like `decode`, given the content of a file and its name."""
    if not blob:
        raise AudioError(Reason.AUDIO_UNREADABLE, f"the file has 0 bytes; in {name}")
    if name.lower().endswith(".g722"):
        audio = _decode_g722(blob, name)
    else:
        check_container(blob, name)
        audio = _decode_soundfile(blob, name)
    _refuse_silence(audio, name)
    return audio


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


def _decode_soundfile(blob: bytes, name: str) -> Audio:
    try:
        file = soundfile.SoundFile(io.BytesIO(blob))
    except soundfile.SoundFileError as error:
        raise AudioError(Reason.AUDIO_UNREADABLE, f"{error}; in {name}") from error
    with file:
        _check_header(file, name)
        try:
            waveform = _read_flac(file, blob, name) if file.format == "FLAC" else _read(file)
        except soundfile.SoundFileError as error:
            raise AudioError(Reason.AUDIO_CORRUPT, f"{error}; in {name}") from error
        if waveform.shape[1] != file.frames:
            raise AudioError(
                Reason.AUDIO_CORRUPT,
                f"{waveform.shape[1]} frames decoded, the header says {file.frames}; in {name}",
            )
        _check_amplitude(waveform, file.subtype, name)
        return Audio(_clip(waveform), file.samplerate)


def _check_header(file: Any, name: str) -> None:
    """Raise AudioError for an unusable header, before any audio is read into memory."""
    if file.format not in _FORMATS:
        raise AudioError(
            Reason.AUDIO_UNREADABLE,
            f"format {file.format}, expected one of {', '.join(sorted(_FORMATS))}; in {name}",
        )
    if file.frames <= 0:
        raise AudioError(Reason.AUDIO_EMPTY, f"the file has 0 samples; in {name}")
    if not MIN_RATE_HZ <= file.samplerate <= MAX_RATE_HZ:
        raise AudioError(
            Reason.AUDIO_RATE,
            f"{file.samplerate} Hz, expected {MIN_RATE_HZ} to {MAX_RATE_HZ}; in {name}",
        )
    if file.channels > MAX_CHANNELS:
        raise AudioError(
            Reason.AUDIO_CHANNELS,
            f"{file.channels} channels, expected at most {MAX_CHANNELS}; in {name}",
        )
    _check_length(file.frames, file.samplerate, name)


def _check_length(num_frames: int, rate_hz: int, name: str) -> None:
    if num_frames > MAX_SECONDS * rate_hz:
        raise AudioError(
            Reason.AUDIO_TOO_LONG,
            f"{num_frames / rate_hz:.0f} s, expected at most {MAX_SECONDS}; in {name}",
        )


def _read(file: Any) -> Waveform:
    return cast(Waveform, file.read(dtype="float32", always_2d=True).T)  # (C, T)


def _read_flac(file: Any, blob: bytes, name: str) -> Waveform:
    """Decode to integers, compare their MD5 with the header's, and scale to [-1, 1). (C, T)"""
    samples = file.read(dtype="int32", always_2d=True)  # (T, C), left-justified in 32 bits
    info = flac_stream_info(blob)
    if info is not None and any(info.md5):
        num_bytes = (info.bits_per_sample + 7) // 8
        pcm = (samples >> (32 - info.bits_per_sample)).astype("<i4").view(np.uint8)
        digest = hashlib.md5(pcm.reshape(-1, 4)[:, :num_bytes].tobytes(), usedforsecurity=False).digest()
        if digest != info.md5:
            raise AudioError(
                Reason.AUDIO_CORRUPT,
                f"the MD5 of the samples is {digest.hex()}, not {info.md5.hex()}; in {name}",
            )
    return cast(Waveform, (samples.astype(np.float32) * np.float32(2**-31)).T)


def _check_amplitude(waveform: Waveform, subtype: str, name: str) -> None:
    if not np.isfinite(waveform).all():
        num_bad = int(waveform.size - np.isfinite(waveform).sum())
        raise AudioError(Reason.AUDIO_NONFINITE, f"{num_bad} samples are not finite; in {name}")
    limit = LOSSY_PEAK if subtype in _LOSSY else 1.0
    if (peak := float(np.abs(waveform).max())) > limit:
        raise AudioError(Reason.AUDIO_RANGE, f"amplitude {peak:.7g}, expected at most {limit}; in {name}")


def _clip(waveform: Waveform) -> Waveform:
    return cast(Waveform, waveform.clip(-1.0, 1.0))


def _refuse_silence(audio: Audio, name: str) -> None:
    """Refuse a constant, also with the noise of a codec: it teaches nothing, and mixing needs a level."""
    pcm16_range = float(np.ptp(audio.waveform.mean(axis=0))) * FULL_SCALE
    if pcm16_range < SILENT_PCM16_RANGE:
        raise AudioError(
            Reason.AUDIO_SILENT,
            f"the samples have a range of {pcm16_range:.1f} in int16 units, expected {SILENT_PCM16_RANGE}; in {name}",
        )


def _decode_g722(blob: bytes, name: str) -> Audio:
    """Decode raw G.722. It has no header, so any bytes can be decoded: two samples per byte."""
    import av  # imported here because only corpora of telephone prompts need it

    num_samples = G722_SAMPLES_PER_BYTE * len(blob)
    _check_length(num_samples, SAMPLE_RATE_HZ, name)
    decoder = av.CodecContext.create("g722", "r")
    decoder.layout = "mono"
    try:
        frames = [frame.to_ndarray() for frame in decoder.decode(av.Packet(blob))]  # (1, T) int16
    except av.FFmpegError as error:
        raise AudioError(Reason.AUDIO_CORRUPT, f"{error}; in {name}") from error
    pcm = np.concatenate(frames, axis=1)
    if pcm.shape != (1, num_samples):
        raise AudioError(
            Reason.AUDIO_CORRUPT,
            f"{pcm.shape[1]} samples decoded, expected {num_samples}; in {name}",
        )
    return Audio(pcm.astype(np.float32) * np.float32(1 / FULL_SCALE), SAMPLE_RATE_HZ)
