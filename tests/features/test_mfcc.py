"""MFCC compared with two independent computations, for one utterance and for padded batches."""

from __future__ import annotations

import math
from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
import pytest
import soundfile
import soxr
import torch

from tests.numerics import require_close
from wavlm.features.mfcc import mfcc, mfcc_batch
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid, num_labels

pytestmark = pytest.mark.numeric

# Of speech in float32: loud bands leave their rounding in quiet ones, whose logarithms magnify it.
# C0 of speech spans about 104.
SPEECH_TOLERANCE = 3e-3


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def speech(real_data: Path, count: int) -> list[np.ndarray]:
    paths = sorted(real_data.glob("speech/*/*.flac"))
    paths = paths[:: len(paths) // count][:count]
    assert len(paths) == count
    return [soundfile.read(path, dtype="float32")[0] for path in paths]


def mel_of(frequency_hz: float) -> float:
    return 1127 * math.log(1 + frequency_hz / 700)


def slow_mfcc(waveform: np.ndarray) -> np.ndarray:
    """Float64, frame by frame, each step as in the definition: (N,) -> (F, 39)."""
    waveform = waveform.astype(np.float64)
    mels = [mel_of(number * 16000 / 512) for number in range(256)]
    edges = mel_of(20.0) + (mel_of(8000.0) - mel_of(20.0)) / 24 * np.arange(25)
    cepstra = []
    for start in range(0, len(waveform) - 399, 160):
        frame = waveform[start : start + 400] - waveform[start : start + 400].mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
        power = np.abs(np.fft.rfft(frame * window, 512)) ** 2
        energies = []
        for left, centre, right in zip(edges[:-2], edges[1:-1], edges[2:], strict=True):
            total = 0.0
            for number, mel in enumerate(mels):
                if left < mel <= centre:
                    total += power[number] * (mel - left) / (centre - left)
                elif centre < mel < right:
                    total += power[number] * (right - mel) / (right - centre)
            energies.append(np.log(max(total, np.finfo(np.float32).eps)))
        row = []
        for order in range(13):
            norm = np.sqrt((1 if order == 0 else 2) / 23)
            cosines = np.cos(np.pi / 23 * (np.arange(23) + 0.5) * order)
            row.append(norm * (cosines @ energies) * (1 + 11 * np.sin(np.pi * order / 22)))
        cepstra.append(row)
    first = np.array(cepstra)
    second = slow_deltas(first)
    return np.concatenate([first, second, slow_deltas(second)], axis=1)


def slow_deltas(rows: np.ndarray) -> np.ndarray:
    """Least-squares slope of each channel over the five frames around each frame."""
    last = len(rows) - 1
    slopes = []
    for t in range(len(rows)):
        around = np.stack([rows[min(max(t + k, 0), last)] for k in range(-2, 3)])
        slopes.append(np.polyfit(np.arange(-2, 3), around, 1)[0])
    return np.array(slopes)


def kaldi_mfcc(waveform: np.ndarray, grid: FrameGrid = PAPER_FRAMES) -> np.ndarray:
    options, rate_hz = knf.MfccOptions(), grid.sample_rate_hz
    options.frame_opts.samp_freq = rate_hz
    options.frame_opts.frame_length_ms = (grid.window_samples + 0.01) * 1000 / rate_hz  # Kaldi rounds down
    options.frame_opts.frame_shift_ms = (grid.hop_samples / 2 + 0.01) * 1000 / rate_hz
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = True
    options.use_energy = False
    options.mel_opts.num_bins = 23
    options.mel_opts.low_freq = 20
    options.mel_opts.high_freq = min(8000, rate_hz // 2)
    computer = knf.OnlineMfcc(options)
    computer.accept_waveform(rate_hz, waveform)
    computer.input_finished()
    return np.stack([computer.get_frame(t) for t in range(computer.num_frames_ready)])


@pytest.mark.parametrize("waveform", [noise(4000), np.zeros(4000, np.float32), noise(400)])
def test_mfcc_agrees_with_the_definition(waveform: np.ndarray) -> None:
    found, expected = mfcc(waveform), slow_mfcc(waveform)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    require_close(found, expected, 512)  # the samples of a transform


def test_mfcc_of_speech_agrees_with_kaldi(real_data: Path) -> None:
    for waveform in speech(real_data, 6):
        found, expected = mfcc(waveform)[:, :13], kaldi_mfcc(waveform)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=SPEECH_TOLERANCE)


@pytest.mark.parametrize(
    "grid",
    [
        *(FrameGrid.standard(rate_hz) for rate_hz in (8000, 24000, 44100, 48000)),
        FrameGrid(sample_rate_hz=24000, window_samples=400, hop_samples=320),  # 75 frames per second
        FrameGrid(sample_rate_hz=44100, window_samples=400, hop_samples=320),  # 137.8
    ],
    ids=str,
)
def test_mfcc_at_another_rate_agrees_with_kaldi(grid: FrameGrid, real_data: Path) -> None:
    window, rate_hz = grid.window_samples, grid.sample_rate_hz
    for waveform in [*speech(real_data, 2), noise(window, seed=1), noise(window + grid.hop_samples // 2 - 1)]:
        given = soxr.resample(waveform, 16000, rate_hz) if len(waveform) > 2000 else waveform
        found, expected = mfcc(given, grid)[:, :13], kaldi_mfcc(given, grid)
        assert found.shape == expected.shape
        assert len(found) == num_labels(len(given), 2 * grid.rate_hz, grid)
        np.testing.assert_allclose(found, expected, atol=SPEECH_TOLERANCE)


def test_deltas_of_a_padded_batch_at_8_khz_end_with_each_utterance() -> None:
    waveforms = [noise(4000), noise(2345, seed=1), noise(200, seed=2)]
    batch, lengths = pad_batch(waveforms, 0.7)
    rows = mfcc_batch(batch, lengths, FrameGrid.standard(8000))
    for waveform, row in zip(waveforms, rows, strict=True):
        expected = mfcc(waveform, FrameGrid.standard(8000))
        np.testing.assert_allclose(row[: len(expected)].numpy(), expected, atol=SPEECH_TOLERANCE)


def test_mfcc_of_less_than_a_window_has_no_rows() -> None:
    assert mfcc(noise(399)).shape == (0, 39)


def pad_batch(waveforms: list[np.ndarray], filler: float) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(waveform) for waveform in waveforms])
    batch = torch.full((len(waveforms), int(lengths.max())), filler)
    for row, waveform in zip(batch, waveforms, strict=True):
        row[: len(waveform)] = torch.from_numpy(waveform)
    return batch, lengths


@pytest.mark.parametrize("filler", [0.0, 0.7])
def test_a_padded_batch_holds_the_mfcc_of_each_utterance(real_data: Path, filler: float) -> None:
    waveforms = [*speech(real_data, 5), noise(400), noise(560), noise(719)]
    batch, lengths = pad_batch(waveforms, filler)
    with torch.inference_mode():
        rows = mfcc_batch(batch, lengths)
    for waveform, row in zip(waveforms, rows, strict=True):
        expected = mfcc(waveform)
        assert len(expected) == num_labels(len(waveform), 100)
        np.testing.assert_allclose(row[: len(expected)].numpy(), expected, atol=SPEECH_TOLERANCE)


def test_a_batch_of_less_than_a_window_has_no_rows() -> None:
    assert mfcc_batch(torch.zeros(3, 399)).shape == (3, 0, 39)
