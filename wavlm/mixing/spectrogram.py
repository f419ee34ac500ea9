"""Spectrograms of a pair of recordings, clean and mixed, as PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from matplotlib.figure import Figure

from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.frames import FrameGrid
from wavlm.storage.files import open_atomic

DPI = 120
FLOOR_DB = -80.0

Waveform = npt.NDArray[np.float32]


def plot_mixture(clean: Path, mixed: Path, out: Path) -> Path:
    """Write spectrograms of an utterance before and after mixing, on one colour scale; returns `out`."""
    figure = Figure(figsize=(10, 5), dpi=DPI, layout="constrained")
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    spectrograms = [_read_spectrogram(path) for path in (clean, mixed)]
    top_db = max(float(levels.max()) for levels, _, _ in spectrograms)
    image = None
    for axes, name, (levels, seconds, rate_hz) in zip(panels, ("clean", "mixed"), spectrograms, strict=True):
        image = axes.imshow(
            levels,
            origin="lower",
            aspect="auto",
            extent=(0.0, seconds, 0.0, rate_hz / 2000),
            vmin=top_db + FLOOR_DB,
            vmax=top_db,
            cmap="magma",
        )
        axes.set(ylabel="frequency [kHz]", title=name)
    panels[-1].set_xlabel("time [s]")
    if image is not None:
        figure.colorbar(image, ax=panels, label="level [dB]")
    with open_atomic(out) as file:
        # Noise hardly compresses: the default level takes twice as long and saves a few percent.
        figure.savefig(file, format="png", pil_kwargs={"compress_level": 3})
    return out


def spectrogram(samples: Waveform, sample_rate_hz: int = SAMPLE_RATE_HZ) -> npt.NDArray[np.float64]:
    """Level in dB of a waveform (N,): frequency bins up to half of the rate, frames of 25 ms every 10 ms."""
    window = FrameGrid.standard(sample_rate_hz).window_samples
    padded = np.pad(samples, (0, max(0, window - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: sample_rate_hz // 100]
    power = np.abs(np.fft.rfft(frames * np.hanning(window))) ** 2
    return np.asarray(10 * np.log10(power + 1e-10).T, np.float64)


def _read_spectrogram(path: Path) -> tuple[npt.NDArray[np.float64], float, int]:
    """Level in dB (frequency bins, frames), length in seconds and sample rate of an audio file, channels averaged."""
    waveform, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    samples = waveform.mean(axis=1)
    return (
        spectrogram(samples, int(rate_hz)),
        max(len(samples), FrameGrid.standard(int(rate_hz)).window_samples) / rate_hz,
        int(rate_hz),
    )
