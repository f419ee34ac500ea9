"""Effects keep length, alignment and the global generators, and do what they are named after."""

from __future__ import annotations

import random
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile

from wavlm.mixing.effects import CODECS, apply_codec, apply_effects, reverberate
from wavlm.specs import EffectName, EffectSpec

pytestmark = pytest.mark.numeric

NAMES: tuple[EffectName, ...] = get_args(EffectName)


@pytest.fixture(scope="module")
def speech(real_data: Path) -> np.ndarray:
    path = real_data / "speech/4992/4992-23283-0002.flac"
    waveform: np.ndarray = soundfile.read(path, dtype="float32")[0][:48123]
    assert len(waveform) == 48123
    return waveform


def echo(_: float) -> tuple[str, np.ndarray]:
    """A room impulse response: near silence, the direct sound after 300 samples, reverberation of 0.2 s."""
    rng = np.random.default_rng(0)
    tail = 0.02 * rng.standard_normal(3200) * np.exp(-np.arange(3200) / 800)
    early = 1e-4 * rng.standard_normal(300)
    return "echo", np.concatenate([early, [0.9], tail]).astype(np.float32)


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def affect(waveform: np.ndarray, effects: tuple[EffectSpec, ...]) -> np.ndarray:
    return apply_effects(waveform, effects, rng(), echo).waveform


def always(name: str, **bounds: float) -> tuple[EffectSpec, ...]:
    return (EffectSpec.model_validate({"name": name, "probability": 1.0, **bounds}),)


def lag(first: np.ndarray, second: np.ndarray) -> int:
    """By how many samples the second is later, by the peak of the cross correlation."""
    size = len(first) + len(second)
    spectrum = np.conj(np.fft.rfft(first, size)) * np.fft.rfft(second, size)
    peak = int(np.argmax(np.fft.irfft(spectrum, size)))
    return peak if peak < size // 2 else peak - size


def band_db(waveform: np.ndarray, low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(waveform.astype(np.float64))) ** 2
    hz = np.fft.rfftfreq(len(waveform), 1 / 16000)
    return float(10 * np.log10(power[(hz >= low_hz) & (hz < high_hz)].sum() + 1e-20))


def white() -> np.ndarray:
    return (0.1 * np.random.default_rng(3).standard_normal(48000)).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_length_and_alignment_stay(speech: np.ndarray, name: str) -> None:
    before = speech.copy()
    for seed in range(3):
        affected = apply_effects(speech, always(name), np.random.default_rng(seed), echo)
        output = affected.waveform
        assert affected.applied == (name,)
        assert output.shape == speech.shape
        assert output.dtype == np.float32
        assert np.isfinite(output).all()
        assert not np.array_equal(output, speech)
        assert abs(lag(speech, output)) <= (4 if name == "equaliser" else 0)  # samples; half a frame has 160
    np.testing.assert_array_equal(speech, before)


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_decides_and_the_global_ones_are_left_alone(speech: np.ndarray, name: str) -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = (random.getrandbits(30), np.random.random())  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    first = affect(speech, always(name))
    assert (random.getrandbits(30), np.random.random()) == expected  # noqa: NPY002
    np.testing.assert_array_equal(first, affect(speech, always(name)))


def test_effects_apply_as_often_as_asked_and_without_moving_each_other(speech: np.ndarray) -> None:
    short = speech[:2000]
    half = (EffectSpec(name="gain", probability=0.5, minimum=3.0, maximum=3.0),)
    changed = [
        not np.array_equal(apply_effects(short, half, np.random.default_rng(seed)).waveform, short)
        for seed in range(400)
    ]
    assert np.mean(changed) == pytest.approx(0.5, abs=0.1)
    never = EffectSpec(name="clipping", probability=0.0)
    noise = always("gaussian_snr")
    np.testing.assert_array_equal(affect(short, (*noise, never)), affect(short, noise))


def test_gain_is_the_gain_that_was_asked_for(speech: np.ndarray) -> None:
    louder = affect(speech, always("gain", minimum=6.0, maximum=6.0))
    np.testing.assert_allclose(louder, speech * 10 ** (6 / 20), rtol=1e-5)


def test_noise_comes_at_the_ratio_that_was_asked_for(speech: np.ndarray) -> None:
    noisy = affect(speech, always("gaussian_snr", minimum=10.0, maximum=10.0))
    noise = noisy.astype(np.float64) - speech
    ratio = 10 * np.log10(np.mean(speech.astype(np.float64) ** 2) / np.mean(noise**2))
    assert ratio == pytest.approx(10, abs=0.2)


def test_a_low_pass_takes_what_is_above_and_a_high_pass_what_is_below() -> None:
    low = affect(white(), always("low_pass", minimum=2000.0, maximum=2000.0))
    high = affect(white(), always("high_pass", minimum=2000.0, maximum=2000.0))
    for output, kept, lost in (
        (low, (50, 1000), (5000, 8000)),
        (high, (5000, 8000), (50, 1000)),
    ):
        assert band_db(output, *kept) == pytest.approx(band_db(white(), *kept), abs=1)
        assert band_db(output, *lost) < band_db(white(), *lost) - 10


def test_a_band_pass_takes_both_sides() -> None:
    output = affect(white(), always("band_pass", minimum=2000.0, maximum=2000.0))
    assert band_db(output, 1800, 2200) == pytest.approx(band_db(white(), 1800, 2200), abs=1.5)
    assert band_db(output, 20, 200) < band_db(white(), 20, 200) - 10
    assert band_db(output, 7000, 8000) < band_db(white(), 7000, 8000) - 10


def test_clipping_clips_the_share_that_was_asked_for(speech: np.ndarray) -> None:
    clipped = affect(speech, always("clipping", minimum=0.04, maximum=0.04))
    assert np.mean(clipped != speech) == pytest.approx(0.04, abs=0.01)
    assert np.abs(clipped).max() < np.abs(speech).max()


@pytest.mark.parametrize("codec", CODECS)
def test_a_telephone_loses_what_is_above_4_khz_and_keeps_the_speech(speech: np.ndarray, codec: str) -> None:
    output = apply_codec(speech, codec)
    assert band_db(output, 4300, 8000) < band_db(speech, 4300, 8000) - 15
    assert np.corrcoef(output, speech)[0, 1] > 0.9
    # No sample is moved: a codec's own delay would show as a better fit at another lag.
    fits = [np.corrcoef(np.roll(output, shift), speech)[0, 1] for shift in (-2, -1, 0, 1, 2)]
    assert int(np.argmax(fits)) == 2
    loud = np.float32(1.7 / np.abs(speech).max()) * speech
    assert np.abs(apply_codec(loud, codec)).max() > 1.2, "beyond full scale it was clipped"


def test_a_room_is_the_convolution_from_its_direct_sound_on_at_the_same_level(
    speech: np.ndarray,
) -> None:
    _, response = echo(0.0)
    expected = np.convolve(speech.astype(np.float64), response[300:].astype(np.float64))
    expected = expected[: len(speech)]
    expected *= np.sqrt(np.mean(speech.astype(np.float64) ** 2) / np.mean(expected**2))
    np.testing.assert_allclose(reverberate(speech, response), expected, atol=1e-6)


def test_silence_stays_silent_and_finite() -> None:
    silence = np.zeros(16000, np.float32)
    for name in NAMES:
        if name != "gaussian_snr":
            output = affect(silence, always(name))
            assert np.abs(output).max() < 1e-3, name


def test_a_room_without_responses_and_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="'room' needs a corpus of room impulse responses"):
        apply_effects(white(), always("room"), rng())
    with pytest.raises(ValueError, match=r"low_pass: minimum 5000.0 is above maximum 200.0"):
        apply_effects(white(), always("low_pass", minimum=5000.0, maximum=200.0), rng())
