"""Spectrograms: levels in dB, frames of 10 ms, and both pictures of a pair on one scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.pictures import watch_pictures
from wavlm.mixing.spectrogram import plot_mixture, spectrogram

TIMES_S = np.arange(16000) / 16000


def test_a_tone_is_one_row_at_its_frequency_and_level() -> None:
    """Bins are 40 Hz wide. A sine of amplitude a has the level 20 log10(a S / 2), S being the sum of the window."""
    levels = spectrogram((0.5 * np.sin(2 * np.pi * 1000 * TIMES_S)).astype(np.float32))
    assert levels.shape == (201, 98)  # (16000 - 400) / 160 + 1 frames
    assert (levels.argmax(axis=0) == 25).all()
    expected = 20 * np.log10(0.5 * np.hanning(400).sum() / 2)
    np.testing.assert_allclose(levels[25], expected, atol=0.01)


def test_silence_has_a_floor_and_a_short_clip_one_frame() -> None:
    np.testing.assert_allclose(spectrogram(np.zeros(10, np.float32)), -100)
    assert spectrogram(np.zeros(10, np.float32)).shape == (201, 1)


def test_both_pictures_share_the_scale_of_the_louder_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = watch_pictures(monkeypatch)
    quiet = 0.01 * np.sin(2 * np.pi * 500 * TIMES_S)
    stereo = np.stack([np.sin(2 * np.pi * 3000 * TIMES_S), np.zeros(16000)], 1) / 2
    soundfile.write(tmp_path / "clean.wav", quiet, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "mixed.wav", stereo, 16000, subtype="FLOAT")
    out = plot_mixture(tmp_path / "clean.wav", tmp_path / "mixed.wav", tmp_path / "pair.png")
    assert out.read_bytes().startswith(b"\x89PNG")
    (one, left), (other, right) = drawn
    assert one.max() < other.max()
    assert (left["vmin"], left["vmax"]) == (right["vmin"], right["vmax"]) == (other.max() - 80, other.max())
    assert left["origin"] == "lower"  # low frequencies below
    assert left["extent"] == (0.0, 1.0, 0.0, 8.0)  # seconds, kHz
    assert other.max() == pytest.approx(20 * np.log10(0.25 * np.hanning(400).sum() / 2), abs=0.1)  # mean of channels
