"""FLAC of the shards: lossless, the same samples as libFLAC's, and every damage is detected."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from wavlm.corpus.audio.reason import AudioError, Reason
from wavlm.errors import BadDataError
from wavlm.shards.flac import decode_by_soundfile, decode_flac, decode_flac_int16, encode_flac

pytestmark = pytest.mark.numeric

RNG = np.random.default_rng(7)
TIMES = np.arange(32000) / 16000
SPEECH_LIKE = 0.25 * np.sin(600 * np.pi * TIMES) + 0.02 * RNG.standard_normal(32000)
SPEECH = SPEECH_LIKE.astype(np.float32)
# Quiet, loud, quiet: the position of a sample in the bytes is far from proportional to its number.
UNEVEN = np.concatenate([SPEECH[:16000] * 0.001, *[SPEECH] * 4, np.zeros(50000, np.float32)])

Outcome = tuple[str, str] | NDArray[np.int16]
Part = tuple[int, int | None]


def outcome(decoder: Callable[..., NDArray[np.int16]], blob: bytes, part: Part) -> Outcome:
    """The samples, or the type and the message of the error."""
    try:
        return decoder(blob, *part)
    except (BadDataError, ValueError, MemoryError) as error:
        # libsndfile has several messages for the same damage.
        return type(error).__name__, str(getattr(error, "code", error))


def assert_as_soundfile(blob: bytes, part: Part, what: str) -> bool:
    """Whether this is an error, with soundfile as with us."""
    expected, found = outcome(decode_by_soundfile, blob, part), outcome(decode_flac_int16, blob, part)
    if isinstance(expected, tuple) or isinstance(found, tuple):
        assert isinstance(expected, tuple) and isinstance(found, tuple), (what, part)  # noqa: PT018
        assert expected == found, (what, part)
        return True
    np.testing.assert_array_equal(found, expected, err_msg=f"{what} {part}")
    return False


def test_flac_rounds_to_the_nearest_step_and_clips() -> None:
    waveform = np.array([0, 0.4, 0.6, -0.6, 32767.4, 40000, -40000], np.float32) / 32768
    steps = decode_flac_int16(encode_flac(waveform.astype(np.float32)))
    assert steps.tolist() == [0, 0, 1, -1, 32767, 32767, -32768]


def test_flac_is_lossless_after_the_first_time_and_always_the_same_bytes() -> None:
    blob = encode_flac(SPEECH)
    again = encode_flac(decode_flac(blob))
    assert blob == again == encode_flac(SPEECH)
    np.testing.assert_allclose(decode_flac(blob), SPEECH_LIKE, atol=0.5001 / 32768)


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 10), (320, 640), (31990, 32000), (4096, None), (5, 5), (4096, 8192), (8191, 28673)],
)
def test_a_crop_is_that_part_of_the_whole(start: int, stop: int | None) -> None:
    blob = encode_flac(SPEECH)
    np.testing.assert_array_equal(decode_flac(blob, start, stop), decode_flac(blob)[start:stop])


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (0, 32001), (10, 5)])
def test_a_crop_beyond_the_ends_is_refused(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="of a FLAC of 32000"):
        decode_flac(encode_flac(SPEECH), start, stop)


@pytest.mark.parametrize("seconds", [0.001, 0.256, 0.512, 1, 20])
def test_every_crop_of_quiet_and_loud_passages_is_what_soundfile_decodes(seconds: float) -> None:
    size = int(16000 * seconds)
    waveform = np.tile(UNEVEN, 2)[:size]
    blob = encode_flac(waveform)
    steps = np.rint(waveform * 32768).astype(np.int16)
    np.testing.assert_array_equal(decode_flac_int16(blob), steps)
    for start, stop in np.sort(RNG.integers(0, size + 1, (40, 2))):
        np.testing.assert_array_equal(decode_flac_int16(blob, start, stop), steps[start:stop])


@pytest.mark.parametrize(
    "damage",
    [lambda blob: blob[: len(blob) // 2], lambda blob: b"RIFF" + blob[4:], lambda blob: b""],
)
def test_a_damaged_flac_of_a_shard_is_an_error(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(AudioError, match=Reason.AUDIO_CORRUPT):
        decode_flac(damage(encode_flac(SPEECH)))


@pytest.mark.slow
def test_a_flipped_bit_is_found_wherever_it_is_an_error_to_soundfile() -> None:
    blob = encode_flac(SPEECH)
    num_errors = 0
    header_bits = range(8 * 100)
    other_bits = (8 * RNG.integers(100, len(blob), 400) + RNG.integers(0, 8, 400)).tolist()
    for bit in (*header_bits, *other_bits):
        damaged = bytearray(blob)
        damaged[bit // 8] ^= 1 << bit % 8
        start, stop = np.sort(RNG.integers(0, 32001, 2)).tolist()
        for part in ((0, None), (start, stop)):
            num_errors += assert_as_soundfile(bytes(damaged), part, f"bit {bit}")
    assert num_errors > 400


def test_a_flipped_bit_in_a_frame_of_the_crop_never_passes() -> None:
    blob, steps = encode_flac(UNEVEN), np.rint(UNEVEN * 32768).astype(np.int16)
    first_loud_byte = 20000  # frames of noise from here to the middle
    for bit in RNG.integers(8 * first_loud_byte, 8 * len(blob) * 9 // 10, 100):
        damaged = bytearray(blob)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AudioError, match=Reason.AUDIO_CORRUPT):
            decode_flac(bytes(damaged))
        # A crop is either an error or correct, wherever the damaged frame is.
        start = int(RNG.integers(0, len(UNEVEN) - 40000))
        found = outcome(decode_flac_int16, bytes(damaged), (start, start + 40000))
        if not isinstance(found, tuple):
            np.testing.assert_array_equal(found, steps[start : start + 40000])


@pytest.mark.parametrize("kind", ["cut off", "cut out", "zeroed", "put in"])
def test_missing_and_foreign_bytes_are_found_as_by_soundfile(kind: str) -> None:
    blob = encode_flac(SPEECH)
    num_errors = 0
    for _ in range(100):
        at, size = int(RNG.integers(len(blob))), int(RNG.integers(1, 9000))
        rest = blob[at + size :]
        damaged = {
            "cut off": blob[:at],
            "cut out": blob[:at] + rest,
            "zeroed": blob[:at] + bytes(len(blob) - at - len(rest)) + rest,
            "put in": blob[:at] + RNG.bytes(size) + blob[at:],
        }[kind]
        start, stop = np.sort(RNG.integers(0, 32001, 2)).tolist()
        for part in ((0, None), (start, stop)):
            num_errors += assert_as_soundfile(damaged, part, f"{kind} at {at}")
    assert num_errors >= 100


def test_a_frame_that_is_missing_altogether_is_what_it_is_to_soundfile() -> None:
    """All checksums are right then. libFLAC returns silence for the missing frame, and no other frame moves."""
    blob = encode_flac(np.tile(SPEECH, 4))
    places = [blob.find(b"\xff\xf8\xc5\x08" + bytes([number])) for number in (5, 6)]
    assert 0 < places[0] < places[1]
    shortened = blob[: places[0]] + blob[places[1] :]
    for part in ((0, None), (3 * 4096, 8 * 4096), (5 * 4096, 6 * 4096), (6 * 4096, 7 * 4096)):
        assert_as_soundfile(shortened, part, "without a frame")


@pytest.mark.parametrize(("channels", "rate_hz", "subtype"), [(2, 16000, "PCM_16"), (1, 8000, "PCM_16")])
def test_another_format_is_refused(channels: int, rate_hz: int, subtype: str) -> None:
    file = io.BytesIO()
    samples = np.zeros((5000, channels), np.int16)
    soundfile.write(file, samples, rate_hz, format="FLAC", subtype=subtype)
    said = "found 2 channels" if channels == 2 else f"SAMPLE_RATE: found {rate_hz} Hz, expected 16000"
    with pytest.raises((ValueError, BadDataError), match=said):
        decode_flac(file.getvalue())


@pytest.mark.slow
def test_speech_decodes_to_the_same_samples_as_with_soundfile(
    real_speech: tuple[Path, ...],
) -> None:
    assert len(real_speech) >= 12
    for path in real_speech:
        blob = path.read_bytes()
        steps = decode_by_soundfile(blob)
        np.testing.assert_array_equal(decode_flac_int16(blob), steps)
        again = encode_flac((steps / 32768).astype(np.float32))
        third = len(steps) // 3
        np.testing.assert_array_equal(decode_flac_int16(again, third, 2 * third), steps[third : 2 * third])
