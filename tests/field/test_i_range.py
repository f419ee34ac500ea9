"""Kind I: peaks slightly above 1 in float files refused the whole file, though those of lossy codecs were clipped."""

from pathlib import Path

import numpy as np
import pytest

from tests.corpus.audio.recordings import KINDS, decoded, encode, speech, write
from wavlm.corpus.audio.reason import AudioError

FLOATS = ["WAV, float", "WAV, double", "AIFC, float"]


def with_peaks(peak: float, count: int = 3) -> np.ndarray:
    """Speech in which this many samples have a peak, of either sign."""
    samples = speech().copy()
    samples[1000 : 1000 + count] = [peak * (-1) ** number for number in range(count)]
    return samples


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("peak", [1.00001, 1.05, 2.0])
def test_peaks_up_to_2_are_clipped_and_counted(name: str, peak: float, tmp_path: Path) -> None:
    waveform, stream = decoded(write(tmp_path, "a", encode(with_peaks(peak), KINDS[name])))
    assert stream.clipped == 3
    np.testing.assert_array_equal(waveform[0, 1000:1003], [1, -1, 1])
    np.testing.assert_allclose(np.delete(waveform[0], range(1000, 1003)), np.delete(speech(), range(1000, 1003)))


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("peak", [2.001, 37.0, 32767.0])
def test_a_wrong_scale_is_refused(name: str, peak: float, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=rf"AUDIO_RANGE: amplitude {peak:.7g}, expected at most 2"):
        decoded(write(tmp_path, "a", encode(with_peaks(peak), KINDS[name])))


def test_full_scale_is_not_clipping(tmp_path: Path) -> None:
    _, stream = decoded(write(tmp_path, "a", encode(with_peaks(1.0), KINDS["WAV, float"])))
    assert stream.clipped == 0
