"""Continuous separation keeps each voice in its stream, whatever order windows come in, and loses no sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavlm.shards.flac import Waveform
from wavlm.systems.separation.files import separate_file
from wavlm.systems.separation.separate import Windows, separate

RATE = 16_000


def tones(seconds: float) -> Waveform:
    """Two voices (V, N) that nobody could confuse: tones of 200 and 3000 Hz whose loudness goes up and down."""
    at = np.arange(round(seconds * RATE)) / RATE
    low = 0.3 * np.sin(2 * np.pi * 200 * at) * (1 + np.sin(2 * np.pi * 0.5 * at)) / 2
    high = 0.3 * np.sin(2 * np.pi * 3000 * at) * (1 + np.cos(2 * np.pi * 0.3 * at)) / 2
    return np.stack([low, high]).astype(np.float32)


class BySpectrum:
    """Separates tones exactly, and gives them in another order each time."""

    def __init__(self) -> None:
        self.calls, self.lengths = 0, list[int]()

    def __call__(self, window: Waveform) -> Waveform:
        self.calls += 1
        self.lengths.append(len(window))
        spectrum = np.fft.rfft(window.astype(np.float64), 4 * len(window))
        low = np.arange(len(spectrum)) < len(spectrum) // 8  # below 1000 Hz
        voices = np.stack([np.fft.irfft(np.where(side, spectrum, 0), 4 * len(window)) for side in (low, ~low)])
        found = voices[:, : len(window)].astype(np.float32)
        return found[::-1] if self.calls % 3 == 0 else found


@pytest.mark.parametrize("seconds", [0.3, 0.8, 0.81, 2.0, 7.13])
def test_a_voice_stays_in_its_stream(seconds: float) -> None:
    voices = tones(seconds)
    by_spectrum = BySpectrum()
    found = separate(voices.sum(axis=0), by_spectrum)
    assert found.shape == voices.shape
    inner = slice(800, max(801, voices.shape[1] - 800))
    np.testing.assert_allclose(found[:, inner], voices[:, inner], atol=0.03)
    assert max(by_spectrum.lengths) <= 2.4 * RATE, "a window holds past, current and future, and no more"


def test_streams_add_up_to_the_recording_where_a_window_leaves_nothing_out() -> None:
    mixture = tones(5.0).sum(axis=0)
    found = separate(mixture, lambda window: np.stack([window * 0.25, window * 0.75]), Windows(fade_s=0.05))
    np.testing.assert_allclose(found.sum(axis=0), mixture, atol=2e-4)  # 16-bit samples


def test_files_hold_the_streams_of_a_call(tmp_path: Path) -> None:
    voices = tones(3.0)
    recording = tmp_path / "meeting.wav"
    soundfile.write(recording, voices.sum(axis=0), RATE, subtype="PCM_16")
    paths = separate_file(recording, BySpectrum(), tmp_path / "out")
    assert [path.name for path in paths] == ["meeting-1.flac", "meeting-2.flac"]
    streams = separate(recording, BySpectrum())
    for path, stream in zip(paths, streams, strict=True):
        np.testing.assert_allclose(soundfile.read(path, dtype="float32")[0], stream, atol=1e-4)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["meeting-1.flac", "meeting-2.flac"]


def test_an_empty_recording_has_empty_streams() -> None:
    assert separate(np.zeros(0, np.float32), BySpectrum()).shape == (2, 0)
