"""39-d Kaldi MFCC at 100 Hz, for one utterance or for a padded batch, on the device of the input.

A frame depends only on its own 400 samples, so padding changes none. Only the deltas at the end of an utterance depend
on where it ends. The transform is a real FFT and two small matrix products. On a GPU its time is negligible. On a CPU
it runs in pieces that stay in the cache.

Legend: B utterances, N samples, F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.shapes import WINDOW_SAMPLES

Floats = npt.NDArray[np.float32]

MFCC_FRAME_SAMPLES = WINDOW_SAMPLES  # 400 = 25 ms, also the receptive field of a frame of the network
MFCC_HOP_SAMPLES = 160  # 10 ms
MFCC_RATE_HZ = SAMPLE_RATE_HZ // MFCC_HOP_SAMPLES  # 100
MFCC_CHANNELS = 39

_FFT_SAMPLES = 512
_NUM_MELS = 23
_NUM_CEPSTRA = MFCC_CHANNELS // 3
_PREEMPHASIS = 0.97
_ENERGY_FLOOR = torch.finfo(torch.float32).eps
# Frames per piece. The transform uses 8 kB per frame: on a CPU a piece fits into the second-level cache, on other
# devices into a gigabyte.
_CPU_PIECE_FRAMES = 250
_DEVICE_PIECE_FRAMES = 1 << 17


def mfcc(waveform: Floats) -> Floats:
    """Kaldi MFCC with deltas and delta-deltas of a mono 16 kHz waveform in [-1, 1]: (N,) -> (F, 39).

    F = (N - 400) // 160 + 1. Options as in HuBERT's first iteration: povey window of 25 ms every 10 ms, snip edges, no
    dither, DC removal, pre-emphasis 0.97, 23 mels from 20 to 8000 Hz, 13 cepstra with C0 and without log energy,
    lifter 22; deltas with window 5 and replicated edges; no mean normalisation.
    """
    with torch.inference_mode():
        samples = torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32))
        rows: Floats = mfcc_batch(samples[None])[0].numpy()
        return rows


def mfcc_batch(waveforms: Tensor, num_samples: Tensor | None = None) -> Tensor:
    """`mfcc` of each row of a batch: (B, N) -> (B, F, 39).

    num_samples (B,): the length of each utterance; None if none is padded. An utterance has
    (num_samples - 400) // 160 + 1 frames; the frames after them have no meaning.
    """
    cosines = _tables(waveforms.device, _NUM_MELS).liftered_cosines
    cepstra = log_mel_energies(waveforms, _NUM_MELS, lambda energies: energies @ cosines, _NUM_CEPSTRA)  # (B, F, 13)
    deltas = slopes(cepstra, num_samples)
    return torch.cat([cepstra, deltas, slopes(deltas, num_samples)], dim=2)


def log_mel_energies(
    waveforms: Tensor,
    num_mels: int,
    then: Callable[[Tensor], Tensor] = lambda energies: energies,
    channels: int | None = None,
) -> Tensor:
    """Log mel energies of frames of 25 ms every 10 ms: (B, N) -> (B, F, num_mels).

    `then` goes on with a piece of frames while it is in the cache, (B, F, num_mels) -> (B, F, channels).
    """
    if waveforms.shape[1] < MFCC_FRAME_SAMPLES:
        return waveforms.new_zeros(len(waveforms), 0, channels or num_mels)
    frames = waveforms.unfold(1, MFCC_FRAME_SAMPLES, MFCC_HOP_SAMPLES)  # (B, F, 400), a view
    piece_frames = _CPU_PIECE_FRAMES if waveforms.device.type == "cpu" else _DEVICE_PIECE_FRAMES
    pieces = torch.split(frames, max(1, piece_frames // len(waveforms)), dim=1)
    return torch.cat([then(_log_energies(piece, num_mels)) for piece in pieces], dim=1)


def _log_energies(frames: Tensor, num_mels: int) -> Tensor:
    """Log mel energies of frames of samples: (B, F, 400) -> (B, F, num_mels)."""
    tables = _tables(frames.device, num_mels)
    centred = frames - frames.mean(dim=2, keepdim=True)
    emphasised = torch.empty_like(centred)
    torch.sub(centred[..., 1:], centred[..., :-1], alpha=_PREEMPHASIS, out=emphasised[..., 1:])
    torch.mul(centred[..., 0], 1 - _PREEMPHASIS, out=emphasised[..., 0])  # Kaldi repeats sample 0
    spectrum = torch.fft.rfft(emphasised.mul_(tables.window), n=_FFT_SAMPLES)  # (B, F, 257)
    squares = torch.view_as_real(spectrum).square_().flatten(2)  # (B, F, 514)
    return (squares @ tables.mel_filters).clamp_(min=_ENERGY_FLOOR).log_()


def slopes(frames: Tensor, num_samples: Tensor | None) -> Tensor:
    """Regression slope over 5 frames, with the first and last frame of each row repeated: (B, F, D) -> (B, F, D)."""
    padded = _repeat_edges(frames, num_samples)  # (B, F + 4, D)
    near = padded[:, 3:-1] - padded[:, 1:-3]
    return near.add_(padded[:, 4:] - padded[:, :-4], alpha=2).div_(10)


def _repeat_edges(frames: Tensor, num_samples: Tensor | None) -> Tensor:
    """Frames -2 to F + 1: those outside of an utterance repeat its first or last one. (B, F, D) -> (B, F + 4, D)"""
    first, last = frames[:, :1], frames[:, -1:]
    if num_samples is None:
        return torch.cat([first, first, frames, last, last], dim=1)
    numbers = torch.arange(-2, frames.shape[1] + 2, device=frames.device)[None]
    lengths = num_samples.to(frames.device, non_blocking=True)[:, None]
    ends = (lengths - MFCC_FRAME_SAMPLES) // MFCC_HOP_SAMPLES
    return frames.take_along_dim(torch.minimum(numbers, ends).clamp_(min=0)[:, :, None], dim=1)


class _Tables:
    """The constants of the transform on one device."""

    def __init__(self, device: torch.device, num_mels: int) -> None:
        self.window = _move(_window(), device)
        # The power of a bin is a sum of two squares. The product with the filter adds them. Adding them in a separate
        # pass took a third of the time of the whole transform.
        self.mel_filters = _move(_mel_filters(num_mels).repeat(2, axis=0), device)  # (514, num_mels)
        self.liftered_cosines = _move(_cosine_table(), device)


@cache
def _tables(device: torch.device, num_mels: int) -> _Tables:
    return _Tables(device, num_mels)


def _move(table: npt.NDArray[np.float64], device: torch.device) -> Tensor:
    return torch.from_numpy(table).float().to(device)


def _window() -> npt.NDArray[np.float64]:
    """Povey window: a Hann window to the power 0.85. (400,)"""
    window: npt.NDArray[np.float64] = np.hanning(MFCC_FRAME_SAMPLES) ** 0.85
    return window


def _mel_filters(num_mels: int) -> npt.NDArray[np.float64]:
    """Triangles that are linear in mel = 1127 ln(1 + f / 700), with f in Hz. (257, num_mels)"""
    lowest, highest = _to_mel(np.array([20.0, 8000.0]))
    edges = np.linspace(lowest, highest, num_mels + 2)
    bins = _to_mel(np.arange(_FFT_SAMPLES // 2 + 1) * SAMPLE_RATE_HZ / _FFT_SAMPLES)[:, None]
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
