"""Decoding refuses bad files with the right code, and does not change good ones."""

import io
import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tests.corpus.audio.recordings import KINDS, decoded, decoded_blob, encode, speech, write
from wavlm.corpus.audio.reason import ADVICE, AudioError, Reason
from wavlm.corpus.audio.stream import open_audio, probe, probe_in_steps

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
    "1024 channels": ("a.wav", encode_audio(RNG.uniform(-0.5, 0.5, (10, 1024))), Reason.AUDIO_CHANNELS),
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
        decoded(tmp_path / name)
    assert caught.value.code == reason
    assert str(caught.value).startswith(f"{reason}: ")
    assert str(caught.value).endswith(f"; in {name}; {ADVICE[reason]}")


@pytest.mark.parametrize("blob", [WAV, FLAC, OGG, OPUS, MP3], ids=["wav", "flac", "ogg", "opus", "mp3"])
def test_no_truncation_goes_unnoticed(blob: bytes) -> None:
    for percent in range(1, 100):
        with pytest.raises(AudioError):
            decoded_blob(blob[: len(blob) * percent // 100])


@pytest.mark.parametrize("blob", [FLAC, OGG, OPUS], ids=["flac", "ogg", "opus"])
def test_no_flipped_bit_changes_the_samples_of_a_format_with_checksums(blob: bytes) -> None:
    whole = decoded_blob(blob)
    rng = np.random.default_rng(1)
    for bit in rng.integers(len(blob) * 8, size=100).tolist():
        flipped = with_bytes(blob, bit // 8, bytes([blob[bit // 8] ^ 1 << bit % 8]))
        try:
            waveform = decoded_blob(flipped)
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
    waveform = decoded_blob(encode_audio(SPEECH_LIKE, kind=kind, subtype=subtype))
    assert waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, SPEECH_LIKE[None], atol=tolerance)


@pytest.mark.parametrize("blob", [OGG, OPUS, MP3], ids=["ogg", "opus", "mp3"])
def test_lossy_formats_keep_a_tone(blob: bytes) -> None:
    assert dominant_hz(decoded_blob(blob)[0]) == pytest.approx(300, abs=1)


def test_a_streamed_wav_that_never_learnt_its_size_is_good() -> None:
    streamed = with_bytes(with_bytes(WAV, 4, b"\xff" * 4), 40, b"\xff" * 4)
    np.testing.assert_array_equal(decoded_blob(streamed), decoded_blob(WAV))


def test_raw_g722_is_known_by_its_suffix(tmp_path: Path) -> None:
    blob = g722(tone(440, 16000))
    (tmp_path / "prompt.g722").write_bytes(blob)
    waveform, stream = decoded(tmp_path / "prompt.g722")
    assert stream.info.sample_rate_hz == 16000
    assert waveform.shape == (1, 2 * len(blob))
    assert dominant_hz(waveform[0]) == pytest.approx(440, abs=1)


def dominant_hz(waveform: NDArray[np.floating]) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return float(spectrum.argmax()) * 16000 / len(waveform)


def test_real_speech_decodes_to_what_the_file_holds(real_data: Path) -> None:
    path = min((real_data / "speech").glob("*/*.flac"))
    steps, rate_hz = soundfile.read(path, dtype="int16")
    waveform, stream = decoded(path)
    assert stream.info.sample_rate_hz == rate_hz == 16000
    np.testing.assert_array_equal(waveform[0], steps / np.float32(32768))


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_channels_stay_apart(kind: str) -> None:
    left, right = tone(300, 16000), tone(500, 16000, amplitude=0.25)
    waveform = decoded_blob(encode_audio(np.stack([left, right], axis=1), kind=kind, subtype="PCM_24"))
    np.testing.assert_allclose(waveform, np.stack([left, right]), atol=1e-6)


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_a_long_recording_comes_in_short_blocks_and_in_order(kind: str, tmp_path: Path) -> None:
    samples = np.linspace(-0.9, 0.9, 47 * 8000 + 123)
    (tmp_path / "a").write_bytes(encode_audio(samples, rate_hz=8000, kind=kind, subtype="PCM_24"))
    with open_audio(tmp_path / "a") as stream:
        blocks = list(stream.blocks())
    assert max(block.shape[1] for block in blocks) <= 15 * 8000
    assert stream.num_samples == len(samples)
    np.testing.assert_allclose(np.concatenate(blocks, axis=1)[0], samples, atol=1e-6)


def test_a_file_that_must_be_decoded_to_be_measured_gives_signs_of_life(tmp_path: Path) -> None:
    kind = KINDS["WebM, Opus"]
    path = write(tmp_path, "a.webm", encode(np.tile(speech(kind.rate_hz), 4), kind))
    *signs, info = probe_in_steps(path)
    assert info == probe(path)
    assert info is not None
    assert info.is_measured
    assert len(signs) > info.num_samples / info.sample_rate_hz / 15
    assert set(signs) == {None}
    assert list(probe_in_steps(write(tmp_path, "a.wav", WAV))) == [probe(tmp_path / "a.wav")]


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(AudioError, match="no regular file"):
        probe(tmp_path / "a.wav")
