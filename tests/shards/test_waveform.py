"""A recording at any rate becomes the same sound at 16 kHz."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from wavlm.shards.waveform import Block, read_waveform


def read_as_utterance(samples: NDArray[np.float32], rate_hz: int, folder: Path) -> NDArray[np.float64]:
    """Samples (T,) at a rate, written to a file and read as 16 kHz, in units of full scale."""
    path = folder / "a.wav"
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    pcm = [item.pcm for item in read_waveform(path, "a", digest, "mean") if isinstance(item, Block)]
    return np.concatenate(pcm, axis=1)[0] / 32768


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 48000])
@pytest.mark.parametrize("num_samples", [50000, 50001, 50007])
def test_resampling_a_tone_gives_the_tone_sampled_at_16_khz(rate_hz: int, num_samples: int, tmp_path: Path) -> None:
    tone_hz, amplitude = 1000.0, 0.5
    times = np.arange(num_samples) / rate_hz
    source = (amplitude * np.sin(2 * np.pi * tone_hz * times)).astype(np.float32)
    resampled = read_as_utterance(source, rate_hz, tmp_path)
    assert len(resampled) == int(np.floor(num_samples * 16000 / rate_hz + 0.5))
    expected = amplitude * np.sin(2 * np.pi * tone_hz * np.arange(len(resampled)) / 16000)
    inner = slice(800, -800)  # the filter has no neighbours beyond the ends
    np.testing.assert_allclose(resampled[inner], expected[inner], atol=2e-4)


@pytest.mark.parametrize("rate_hz", [22050, 44100, 48000])
def test_resampling_lets_nothing_above_8_khz_fold_back(rate_hz: int, tmp_path: Path) -> None:
    source = 0.5 * np.sin(2 * np.pi * 9500 * np.arange(rate_hz) / rate_hz).astype(np.float32)
    resampled = read_as_utterance(source, rate_hz, tmp_path)
    assert np.abs(resampled[800:-800]).max() < 2e-4
