"""39-d Kaldi MFCC, for one utterance or for a padded batch, on the device of the input.

There are two per frame of the network, of as many samples as it sees: at 50 frames per second 25 ms every 10 ms. So
every second one belongs to a frame. A hop that is odd has no half: there is one per frame then. Each depends only on
its own samples, so padding changes none. Only the deltas at the end of an utterance depend on where it ends. The
transform is a real FFT and two small matrix products. On a GPU its time is negligible. On a CPU it runs in pieces that
stay in the cache.

Legend: B utterances, N samples, F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavlm.specs.frames import PAPER_FRAMES, FrameGrid, mfcc_per_frame

Floats = npt.NDArray[np.float32]

MFCC_HOP_SAMPLES = 160  # 10 ms at 16 kHz, the rate of evaluations
MFCC_CHANNELS = 39

_LOWEST_HZ, _HIGHEST_HZ = 20.0, 8000.0  # of the filters; the highest is half of the rate, if that is less
_NUM_MELS = 23
_NUM_CEPSTRA = MFCC_CHANNELS // 3
_PREEMPHASIS = 0.97
_ENERGY_FLOOR = torch.finfo(torch.float32).eps
# Frames per piece. The transform uses 8 kB per frame: on a CPU a piece fits into the second-level cache, on other
# devices into a gigabyte.
_CPU_PIECE_FRAMES = 250
_DEVICE_PIECE_FRAMES = 1 << 17


def mfcc(waveform: Floats, grid: FrameGrid = PAPER_FRAMES) -> Floats:
    """Kaldi MFCC with deltas and delta-deltas of a mono waveform in [-1, 1]: (N,) -> (F, 39).

    At 16 kHz F = (N - 400) // 160 + 1. Options as in HuBERT's first iteration: povey window of 25 ms every 10 ms, that
    is of a frame of the network, twice per hop; snip edges, no dither, DC removal, pre-emphasis 0.97, 23 mels from 20
    to 8000 Hz or half of the rate, 13 cepstra with C0 and without log energy, lifter 22; deltas with window 5 and
    replicated edges; no mean normalisation.
    """
    with torch.inference_mode():
        samples = torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32))
        rows: Floats = mfcc_batch(samples[None], None, grid)[0].numpy()
        return rows


def mfcc_batch(waveforms: Tensor, num_samples: Tensor | None = None, grid: FrameGrid = PAPER_FRAMES) -> Tensor:
    """`mfcc` of each row of a batch: (B, N) -> (B, F, 39).

    num_samples (B,): the length of each utterance; None if none is padded. At 16 kHz an
    utterance has (num_samples - 400) // 160 + 1 frames; the frames after them have no meaning.
    """
    cosines = _tables(waveforms.device, _NUM_MELS, grid).liftered_cosines
    cepstra = log_mel_energies(
        waveforms, _NUM_MELS, lambda energies: energies @ cosines, _NUM_CEPSTRA, grid
    )  # (B, F, 13)
    num_frames = None
    if num_samples is not None:
        num_frames = (num_samples - grid.window_samples) // mfcc_hop(grid) + 1
    deltas = slopes(cepstra, num_frames)
    return torch.cat([cepstra, deltas, slopes(deltas, num_frames)], dim=2)


def mfcc_hop(grid: FrameGrid) -> int:
    """Samples from one MFCC to the next."""
    return grid.hop_samples // mfcc_per_frame(grid)


def log_mel_energies(
    waveforms: Tensor,
    num_mels: int,
    then: Callable[[Tensor], Tensor] = lambda energies: energies,
    channels: int | None = None,
    grid: FrameGrid = PAPER_FRAMES,
) -> Tensor:
    """Log mel energies of frames of 25 ms every 10 ms, as `mfcc`: (B, N) -> (B, F, num_mels).

    `then` goes on with a piece of frames while it is in the cache, (B, F, num_mels) -> (B, F, channels).
    """
    if waveforms.shape[1] < grid.window_samples:
        return waveforms.new_zeros(len(waveforms), 0, channels or num_mels)
    frames = waveforms.unfold(1, grid.window_samples, mfcc_hop(grid))  # (B, F, W), a view
    piece_frames = _CPU_PIECE_FRAMES if waveforms.device.type == "cpu" else _DEVICE_PIECE_FRAMES
    pieces = torch.split(frames, max(1, piece_frames // len(waveforms)), dim=1)
    return torch.cat([then(_log_energies(piece, _tables(piece.device, num_mels, grid))) for piece in pieces], dim=1)


def _log_energies(frames: Tensor, tables: _Tables) -> Tensor:
    """Log mel energies of frames of samples: (B, F, W) -> (B, F, M)."""
    centred = frames - frames.mean(dim=2, keepdim=True)
    emphasised = torch.empty_like(centred)
    torch.sub(centred[..., 1:], centred[..., :-1], alpha=_PREEMPHASIS, out=emphasised[..., 1:])
    torch.mul(centred[..., 0], 1 - _PREEMPHASIS, out=emphasised[..., 0])  # Kaldi repeats sample 0
    spectrum = torch.fft.rfft(emphasised.mul_(tables.window), n=tables.fft_samples)  # (B, F, 257 at 16 kHz)
    squares = torch.view_as_real(spectrum).square_().flatten(2)  # (B, F, 514 at 16 kHz)
    return (squares @ tables.mel_filters).clamp_(min=_ENERGY_FLOOR).log_()


def slopes(frames: Tensor, num_frames: Tensor | None) -> Tensor:
    """Regression slope over 5 frames, with the first and last frame of each row repeated: (B, F, D) -> (B, F, D)."""
    padded = _repeat_edges(frames, num_frames)  # (B, F + 4, D)
    near = padded[:, 3:-1] - padded[:, 1:-3]
    return near.add_(padded[:, 4:] - padded[:, :-4], alpha=2).div_(10)


def _repeat_edges(frames: Tensor, num_frames: Tensor | None) -> Tensor:
    """Frames -2 to F + 1: those outside of an utterance repeat its first or last one. (B, F, D) -> (B, F + 4, D)"""
    first, last = frames[:, :1], frames[:, -1:]
    if num_frames is None:
        return torch.cat([first, first, frames, last, last], dim=1)
    numbers = torch.arange(-2, frames.shape[1] + 2, device=frames.device)[None]
    ends = num_frames.to(frames.device, non_blocking=True)[:, None] - 1
    return frames.take_along_dim(torch.minimum(numbers, ends).clamp_(min=0)[:, :, None], dim=1)


class _Tables:
    """The constants of the transform on one device."""

    def __init__(self, device: torch.device, num_mels: int, window_samples: int, sample_rate_hz: int) -> None:
        size = window_samples
        self.fft_samples = 1 << (size - 1).bit_length()
        self.window = _move(_window(size), device)
        # The power of a bin is a sum of two squares. The product with the filter adds them. Adding them in a separate
        # pass took a third of the time of the whole transform.
        self.mel_filters = _move(_mel_filters(num_mels, self.fft_samples, sample_rate_hz).repeat(2, axis=0), device)
        self.liftered_cosines = _move(_cosine_table(), device)


def _tables(device: torch.device, num_mels: int, grid: FrameGrid) -> _Tables:
    return _make_tables(device, num_mels, grid.window_samples, grid.sample_rate_hz)


@cache
def _make_tables(device: torch.device, num_mels: int, window_samples: int, sample_rate_hz: int) -> _Tables:
    return _Tables(device, num_mels, window_samples, sample_rate_hz)


def _move(table: npt.NDArray[np.float64], device: torch.device) -> Tensor:
    return torch.from_numpy(table).float().to(device)


def _window(size: int) -> npt.NDArray[np.float64]:
    """Povey window: a Hann window to the power 0.85. (size,)"""
    window: npt.NDArray[np.float64] = np.hanning(size) ** 0.85
    return window


def _mel_filters(num_mels: int, fft_samples: int, sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """Triangles that are linear in mel = 1127 ln(1 + f / 700), with f in Hz. (bins, num_mels), 257 bins at 16 kHz"""
    lowest, highest = _to_mel(np.array([_LOWEST_HZ, min(_HIGHEST_HZ, sample_rate_hz / 2)]))
    edges = np.linspace(lowest, highest, num_mels + 2)
    bins = _to_mel(np.arange(fft_samples // 2 + 1) * sample_rate_hz / fft_samples)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters: npt.NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return filters


def _to_mel(frequency_hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    mels: npt.NDArray[np.float64] = 1127.0 * np.log1p(frequency_hz / 700.0)
    return mels


def _cosine_table() -> npt.NDArray[np.float64]:
    """Orthonormal DCT-II of 23 log energies, each cepstrum scaled by its lifter. (23, 13)"""
    order = np.arange(_NUM_CEPSTRA)
    angles = np.pi / _NUM_MELS * (np.arange(_NUM_MELS)[:, None] + 0.5) * order
    scale = np.where(order == 0, np.sqrt(1 / _NUM_MELS), np.sqrt(2 / _NUM_MELS))
    lifter = 1 + 11 * np.sin(np.pi * order / 22)
    cosines: npt.NDArray[np.float64] = np.cos(angles) * scale * lifter
    return cosines
