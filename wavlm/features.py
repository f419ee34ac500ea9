"""What is clustered: 39-d Kaldi MFCC at 100 Hz, or a hidden layer of a model at 50 Hz.

Frame 2t of the MFCC and frame t of the network are centred on the same sample, 320 t + 200.

Legend: N samples, F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from wavlm.nn import load_model
from wavlm.specs import HOP_SAMPLES, SAMPLE_RATE_HZ, Features, HiddenFeatures

Floats = npt.NDArray[np.float32]
Extractor = Callable[[Floats], Floats]

MFCC_FRAME_SAMPLES = 400  # 25 ms, which is also the receptive field of the network's frame
MFCC_HOP_SAMPLES = 160  # 10 ms
MFCC_RATE_HZ = SAMPLE_RATE_HZ // MFCC_HOP_SAMPLES
HIDDEN_RATE_HZ = SAMPLE_RATE_HZ // HOP_SAMPLES

# The network hears at most this much at once (100 s); fairseq's dump_hubert_feature does the same.
CHUNK_SAMPLES = 1_600_000

_FFT_SAMPLES = 512
_NUM_MELS = 23
_NUM_CEPSTRA = 13
_PREEMPHASIS = 0.97
_ENERGY_FLOOR = torch.finfo(torch.float32).eps
# Frames a piece: what the transform touches stays in the second-level cache of a core.
_PIECE_FRAMES = 250


def label_rate_hz(features: Features) -> int:
    """Labels a second of audio: 100 for MFCC, 50 for hidden layers."""
    return HIDDEN_RATE_HZ if isinstance(features, HiddenFeatures) else MFCC_RATE_HZ


def mfcc(waveform: Floats) -> Floats:
    """Kaldi MFCC with deltas and delta-deltas of a mono 16 kHz waveform in [-1, 1].

    (N,) -> (F, 39), F = (N - 400) // 160 + 1. Options as HuBERT's first iteration has them: povey
    window of 25 ms every 10 ms, snip edges, no dither, DC removal, pre-emphasis 0.97, 23 mels from
    20 to 8000 Hz, 13 cepstra with C0 and without log energy, lifter 22; deltas with window 5 and
    replicated edges; no mean normalisation.
    """
    with torch.inference_mode():
        samples = torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32))
        if len(samples) < MFCC_FRAME_SAMPLES:
            return np.zeros((0, 3 * _NUM_CEPSTRA), np.float32)
        frames = samples.unfold(0, MFCC_FRAME_SAMPLES, MFCC_HOP_SAMPLES)  # (F, 400), a view
        cepstra = torch.cat(
            [_cepstra(piece) for piece in torch.split(frames, _PIECE_FRAMES)]
        )  # (F, 13)
        deltas = _deltas(cepstra)
        stacked: Floats = torch.cat([cepstra, deltas, _deltas(deltas)], dim=1).numpy()
        return stacked


def mfcc_at_frame_rate(waveform: Floats) -> Floats:
    """The MFCC frames that lie on the network's frames: (N,) -> (num_frames, 39) at 50 Hz.

    MFCC has 2 F or 2 F - 1 frames for F frames of the network, so frame 2 (F - 1) always exists.
    """
    return np.ascontiguousarray(mfcc(waveform)[::2])


class HiddenLayers:
    """Raw outputs of layers (1-based) of a saved model: (N,) -> (F, D) at 50 Hz for each layer.

    Nothing is masked or dropped. Waveforms above 100 s are heard in pieces of 100 s; there are as
    many frames, at the same places, as the whole would give.
    """

    def __init__(self, model_dir: Path, layers: Sequence[int], device: str = "cpu") -> None:
        self._network = load_model(model_dir, device)
        self._layers = tuple(layers)
        self._device = device
        deepest = self._network.network.num_layers
        if bad := [layer for layer in layers if not 1 <= layer <= deepest]:
            raise ValueError(f"layer {bad[0]} is not in 1..{deepest}; at {model_dir}")

    def __call__(self, waveform: Floats) -> list[Floats]:
        pieces = [self._piece(piece) for piece in pieces_of(waveform)]
        return [np.concatenate(of_layer) for of_layer in zip(*pieces, strict=True)]

    def _piece(self, waveform: Floats) -> list[Floats]:
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(waveform))[None].to(self._device)
            states = self._network.hidden_states(batch, num_layers=max(self._layers))
            return [states[layer][0].float().cpu().numpy() for layer in self._layers]


class Hidden:
    """One of `HiddenLayers`: (N,) -> (F, D)."""

    def __init__(self, model_dir: Path, layer: int, device: str = "cpu") -> None:
        self._layers = HiddenLayers(model_dir, (layer,), device)

    def __call__(self, waveform: Floats) -> Floats:
        return self._layers(waveform)[0]


def pieces_of(waveform: Floats, chunk_samples: int = CHUNK_SAMPLES) -> list[Floats]:
    """Cut a waveform so that the frames of the pieces, in order, are those of the whole.

    `chunk_samples` must be a multiple of the hop. A rest too short for a frame of its own belongs
    to the last piece's edge and is dropped, as the whole would drop it.
    """
    overlap = MFCC_FRAME_SAMPLES - HOP_SAMPLES
    last_start = max(0, len(waveform) - MFCC_FRAME_SAMPLES)
    return [
        waveform[start : start + chunk_samples + overlap]
        for start in range(0, last_start + 1, chunk_samples)
    ]


def extractor(features: Features, model_dir: Path | None, device: str | None = None) -> Extractor:
    """The function from waveform to features; `device` None is a GPU if there is one.

    Raises ValueError if hidden features come without the folder of a model.
    """
    if not isinstance(features, HiddenFeatures):
        return mfcc
    if model_dir is None:
        raise ValueError(f"features of layer {features.layer} need the folder of a model; got none")
    return Hidden(model_dir, features.layer, device or default_device())


def default_device() -> str:
    """A GPU if there is one: hidden features are a forward pass."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _cepstra(frames: torch.Tensor) -> torch.Tensor:
    """(F, 400) -> (F, 13). One piece of an utterance."""
    centred = frames - frames.mean(dim=1, keepdim=True)
    emphasised = torch.empty_like(centred)
    torch.sub(centred[:, 1:], centred[:, :-1], alpha=_PREEMPHASIS, out=emphasised[:, 1:])
    torch.mul(centred[:, 0], 1 - _PREEMPHASIS, out=emphasised[:, 0])  # Kaldi repeats sample 0
    spectrum = torch.fft.rfft(emphasised.mul_(_window()), n=_FFT_SAMPLES)  # (F, 257)
    power = torch.view_as_real(spectrum).square_().sum(dim=2)
    return (power @ _mel_filters()).clamp_(min=_ENERGY_FLOOR).log_() @ _liftered_cosines()


def _deltas(frames: torch.Tensor) -> torch.Tensor:
    """Regression slope over 5 frames, edges repeated: (F, D) -> (F, D)."""
    padded = torch.cat([frames[:1], frames[:1], frames, frames[-1:], frames[-1:]])
    near = padded[3:-1] - padded[1:-3]
    return near.add_(padded[4:] - padded[:-4], alpha=2).div_(10)


@cache
def _window() -> torch.Tensor:
    """Povey window: a Hann window to the power 0.85. (400,)"""
    return torch.from_numpy(np.hanning(MFCC_FRAME_SAMPLES) ** 0.85).float()


@cache
def _mel_filters() -> torch.Tensor:
    """Triangles that are linear in mel = 1127 ln(1 + f / 700). (257, 23)"""
    lowest, highest = _mel(np.array([20.0, 8000.0]))
    edges = np.linspace(lowest, highest, _NUM_MELS + 2)
    bins = _mel(np.arange(_FFT_SAMPLES // 2 + 1) * SAMPLE_RATE_HZ / _FFT_SAMPLES)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.from_numpy(np.maximum(0.0, np.minimum(rising, falling))).float()


def _mel(frequency_hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    mels: npt.NDArray[np.float64] = 1127.0 * np.log1p(frequency_hz / 700.0)
    return mels


@cache
def _liftered_cosines() -> torch.Tensor:
    """Orthonormal DCT-II of 23 log energies, each cepstrum scaled by its lifter. (23, 13)"""
    order = np.arange(_NUM_CEPSTRA)
    angles = np.pi / _NUM_MELS * (np.arange(_NUM_MELS)[:, None] + 0.5) * order
    scale = np.where(order == 0, np.sqrt(1 / _NUM_MELS), np.sqrt(2 / _NUM_MELS))
    lifter = 1 + 11 * np.sin(np.pi * order / 22)
    return torch.from_numpy(np.cos(angles) * scale * lifter).float()
