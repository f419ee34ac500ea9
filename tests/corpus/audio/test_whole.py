"""Decoding refuses bad files with the right code, and does not change good ones."""

import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from wavlm.corpus.audio.reason import AudioError, Reason
from wavlm.corpus.audio.whole import (
    Audio,
    decode,
    decode_bytes,
    to_utterance,
)

RNG = np.random.default_rng(7)


def tone(frequency_hz: float, rate_hz: int, seconds: float = 1.0, amplitude: float = 0.5) -> NDArray[np.float64]:
    times = np.arange(round(rate_hz * seconds)) / rate_hz
    return amplitude * np.sin(2 * np.pi * frequency_hz * times)


def encode_audio(
    samples: NDArray[np.float64], rate_hz: int = 16000, kind: str = "WAV", subtype: str = "PCM_16"
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


def g722(samples: NDArray[np.float64]) -> bytes:
    encoder = av.CodecContext.create("g722", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 16000, "mono", "s16"
    steps = np.rint(samples * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(steps[None], format="s16", layout="mono")
    frame.sample_rate = 16000
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


SPEECH_LIKE = tone(300, 16000, 2.0) * 0.5 + 0.02 * RNG.standard_normal(32000)
SPEECH = SPEECH_LIKE.astype(np.float32)


def with_bytes(blob: bytes, start: int, new: bytes) -> bytes:
    return blob[:start] + new + blob[start + len(new) :]


def flac_claiming(blob: bytes, num_samples: int) -> bytes:
    """The FLAC with another number of samples in its STREAMINFO: 36 bits that end at byte 26."""
    packed = int.from_bytes(blob[18:26], "big")
    return with_bytes(blob, 18, (packed >> 36 << 36 | num_samples).to_bytes(8, "big"))


WAV = encode_audio(SPEECH_LIKE)
FLAC = encode_audio(SPEECH_LIKE, kind="FLAC")
OGG = encode_audio(SPEECH_LIKE, kind="OGG", subtype="VORBIS")
OPUS = encode_audio(SPEECH_LIKE, kind="OGG", subtype="OPUS")
MP3 = encode_audio(SPEECH_LIKE, kind="MP3", subtype="MPEG_LAYER_III")

POISON: dict[str, tuple[str, bytes, Reason]] = {
    "no bytes": ("a.wav", b"", Reason.AUDIO_UNREADABLE),
    "no bytes of g722": ("a.g722", b"", Reason.AUDIO_UNREADABLE),
    "a web page": ("a.flac", b"<!DOCTYPE html><html>login</html>" * 9, Reason.AUDIO_UNREADABLE),
    "no samples": ("a.wav", encode_audio(np.zeros(0)), Reason.AUDIO_EMPTY),
    "half a wav": ("a.wav", WAV[: len(WAV) // 2], Reason.AUDIO_TRUNCATED),
    "half an ogg": ("a.ogg", OGG[: len(OGG) // 2], Reason.AUDIO_TRUNCATED),
    "half an opus": ("a.opus", OPUS[: len(OPUS) // 2], Reason.AUDIO_TRUNCATED),
    "half an mp3": ("a.mp3", MP3[: len(MP3) // 2], Reason.AUDIO_TRUNCATED),
    "half a flac": ("a.flac", FLAC[: len(FLAC) // 2], Reason.AUDIO_TRUNCATED),
    "a flipped flac": ("a.flac", with_bytes(FLAC, 9000, b"\x00\xff\x00"), Reason.AUDIO_CORRUPT),
    "a wrong flac md5": ("a.flac", with_bytes(FLAC, 26, b"\x01" * 16), Reason.AUDIO_CORRUPT),
    "a flipped ogg": ("a.ogg", with_bytes(OGG, 6000, b"\x00\xff\x00"), Reason.AUDIO_CORRUPT),
    "nan": (
        "a.wav",
        encode_audio(np.where(np.arange(32000) == 9, np.nan, SPEECH_LIKE), subtype="FLOAT"),
        Reason.AUDIO_NONFINITE,
    ),
    "infinity": (
        "a.wav",
        encode_audio(np.where(np.arange(32000) == 9, np.inf, SPEECH_LIKE), subtype="FLOAT"),
        Reason.AUDIO_NONFINITE,
    ),
    "amplitude 37": ("a.wav", encode_audio(SPEECH_LIKE * 74, subtype="FLOAT"), Reason.AUDIO_RANGE),
    "zeros": ("a.wav", encode_audio(np.zeros(16000)), Reason.AUDIO_SILENT),
    "an offset": ("a.wav", encode_audio(np.full(16000, 0.25)), Reason.AUDIO_SILENT),
    "silent g722": ("a.g722", g722(np.zeros(1600)), Reason.AUDIO_SILENT),
    "channels that cancel": (
        "a.wav",
        encode_audio(np.stack([SPEECH_LIKE, -SPEECH_LIKE], axis=1), subtype="FLOAT"),
        Reason.AUDIO_SILENT,
    ),
    "1024 channels": ("a.wav", encode_audio(RNG.uniform(-0.5, 0.5, (10, 1024))), Reason.AUDIO_CHANNELS),
    "two hours and a second of g722": ("a.g722", bytes(7201 * 8000), Reason.AUDIO_TOO_LONG),
    "a rate of 1 MHz": (
        "a.wav",
        with_bytes(WAV, 24, struct.pack("<I", 1_000_000)),
        Reason.AUDIO_RATE,
    ),
    "a rate of 4e9 Hz": (
        "a.wav",
        with_bytes(WAV, 24, struct.pack("<I", 4_000_000_000)),
        Reason.AUDIO_UNREADABLE,
    ),
}


@pytest.mark.parametrize("what", POISON)
def test_bad_audio_is_refused_with_its_code_and_its_name(what: str, tmp_path: Path) -> None:
    name, blob, reason = POISON[what]
    (tmp_path / name).write_bytes(blob)
    with pytest.raises(AudioError) as caught:
        decode(tmp_path / name)
    assert caught.value.code == reason
    assert str(caught.value).startswith(f"{reason}: ")
    assert f"; in {name}; " in str(caught.value)


@pytest.mark.parametrize("blob", [WAV, FLAC, OGG, OPUS, MP3], ids=["wav", "flac", "ogg", "opus", "mp3"])
def test_no_truncation_goes_unnoticed(blob: bytes) -> None:
    for percent in range(1, 100):
        with pytest.raises(AudioError):
            decode_bytes(blob[: len(blob) * percent // 100], "cut")


@pytest.mark.parametrize("blob", [FLAC, OGG, OPUS], ids=["flac", "ogg", "opus"])
def test_no_flipped_bit_changes_the_samples_of_a_format_with_checksums(blob: bytes) -> None:
    whole = decode_bytes(blob, "whole").waveform
    rng = np.random.default_rng(1)
    for bit in rng.integers(len(blob) * 8, size=100).tolist():
        flipped = with_bytes(blob, bit // 8, bytes([blob[bit // 8] ^ 1 << bit % 8]))
        try:
            waveform = decode_bytes(flipped, "flipped").waveform
        except AudioError:
            continue
        np.testing.assert_array_equal(waveform, whole)


@pytest.mark.parametrize(
    ("kind", "subtype", "tolerance"),
    [
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_U8", 1e-2),
        ("WAV", "ALAW", 3e-2),
        ("WAV", "FLOAT", 1e-7),
        ("WAVEX", "PCM_24", 1e-6),
        ("RF64", "PCM_16", 1e-4),
        ("FLAC", "PCM_S8", 1e-2),
        ("FLAC", "PCM_16", 1e-4),
        ("FLAC", "PCM_24", 1e-6),
    ],
)
def test_lossless_formats_come_out_as_they_went_in(kind: str, subtype: str, tolerance: float) -> None:
    audio = decode_bytes(encode_audio(SPEECH_LIKE, kind=kind, subtype=subtype), "a")
    assert audio.sample_rate_hz == 16000
    assert audio.waveform.dtype == np.float32
    np.testing.assert_allclose(audio.waveform, SPEECH_LIKE[None], atol=tolerance)


@pytest.mark.parametrize("blob", [OGG, OPUS, MP3], ids=["ogg", "opus", "mp3"])
def test_lossy_formats_keep_a_tone(blob: bytes) -> None:
    assert dominant_hz(to_utterance(decode_bytes(blob, "a"))) == pytest.approx(300, abs=1)


def test_a_streamed_wav_that_never_learnt_its_size_is_good() -> None:
    streamed = with_bytes(with_bytes(WAV, 4, b"\xff" * 4), 40, b"\xff" * 4)
    np.testing.assert_array_equal(decode_bytes(streamed, "a").waveform, decode_bytes(WAV, "a").waveform)


def test_raw_g722_is_known_by_its_suffix(tmp_path: Path) -> None:
    blob = g722(tone(440, 16000))
    (tmp_path / "prompt.g722").write_bytes(blob)
    audio = decode(tmp_path / "prompt.g722")
    assert audio.sample_rate_hz == 16000
    assert audio.waveform.shape == (1, 2 * len(blob))
    assert dominant_hz(audio.waveform[0]) == pytest.approx(440, abs=1)


def dominant_hz(waveform: NDArray[np.floating]) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return float(spectrum.argmax()) * 16000 / len(waveform)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 48000])
@pytest.mark.parametrize("num_samples", [50000, 50001, 50007])
def test_resampling_a_tone_gives_the_tone_sampled_at_16_khz(rate_hz: int, num_samples: int) -> None:
    tone_hz, amplitude = 1000.0, 0.5
    times = np.arange(num_samples) / rate_hz
    source = (amplitude * np.sin(2 * np.pi * tone_hz * times)).astype(np.float32)
    resampled = to_utterance(Audio(source[None], rate_hz))
    assert len(resampled) == int(np.floor(num_samples * 16000 / rate_hz + 0.5))
    expected = amplitude * np.sin(2 * np.pi * tone_hz * np.arange(len(resampled)) / 16000)
    inner = slice(800, -800)  # the filter has no neighbours beyond the ends
    np.testing.assert_allclose(resampled[inner], expected[inner], atol=1e-4)


@pytest.mark.parametrize("rate_hz", [22050, 44100, 48000])
def test_resampling_lets_nothing_above_8_khz_fold_back(rate_hz: int) -> None:
    source = tone(9500, rate_hz).astype(np.float32)
    resampled = to_utterance(Audio(source[None], rate_hz))
    assert np.abs(resampled[800:-800]).max() < 1e-4


def test_mono_is_the_mean_of_the_channels() -> None:
    left, right = tone(300, 16000), tone(500, 16000, amplitude=0.25)
    audio = decode_bytes(encode_audio(np.stack([left, right], axis=1), subtype="FLOAT"), "a")
    np.testing.assert_allclose(to_utterance(audio), (left + right) / 2, atol=1e-7)


def test_real_speech_decodes_to_what_the_file_holds(real_data: Path) -> None:
    path = min((real_data / "speech").glob("*/*.flac"))
    steps, rate_hz = soundfile.read(path, dtype="int16")
    assert rate_hz == 16000
    np.testing.assert_array_equal(to_utterance(decode(path)), steps / np.float32(32768))
