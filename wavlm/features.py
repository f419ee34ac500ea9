"""What is clustered: 39-d Kaldi MFCC at 100 Hz, or a hidden layer of a model at 50 Hz.

Frame 2t of the MFCC and frame t of the network are centred on the same sample, 320 t + 200.

Legend: B utterances, N samples, F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavlm.mfcc import MFCC_FRAME_SAMPLES, MFCC_RATE_HZ, batched_mfcc, mfcc
from wavlm.nn import load_model
from wavlm.specs import HOP_SAMPLES, Features, HiddenFeatures
from wavlm.specs.shapes import FRAME_RATE_HZ

Floats = npt.NDArray[np.float32]
Compute = Callable[[Tensor, Tensor | None], Tensor]

# The network hears at most this much at once (100 s); fairseq's dump_hubert_feature does the same.
CHUNK_SAMPLES = 1_600_000


@dataclass(frozen=True)
class FrameFunction:
    """Something for each frame of waveforms that are on a device.

    compute: waveforms (B, N) and how long each row is, (B,) on the CPU, None: all of it ->
    (B, F, ...); what it says of a row does not depend on its padding or on the other rows.
    """

    compute: Compute
    rate_hz: int
    chunk_samples: int | None = None  # what it can take at most at once, see `pieces_of`

    def then(self, step: Callable[[Tensor], Tensor]) -> FrameFunction:
        """The same, with another step for the frames behind it: (B, F, D) -> (B, F, ...)."""
        before = self.compute
        return FrameFunction(
            lambda waveforms, num_samples: step(before(waveforms, num_samples)),
            self.rate_hz,
            self.chunk_samples,
        )


def frame_function(features: Features, model_dir: Path | None, device: str) -> FrameFunction:
    """The features of many waveforms at once, on a device.

    Raises ValueError if hidden features come without the folder of a model.
    """
    if not isinstance(features, HiddenFeatures):
        return FrameFunction(batched_mfcc, MFCC_RATE_HZ)
    if model_dir is None:
        raise ValueError(f"features of layer {features.layer} need the folder of a model; got none")
    hidden = HiddenLayers(model_dir, (features.layer,), device)
    return FrameFunction(
        lambda waveforms, num_samples: hidden.batched(waveforms, num_samples)[0],
        FRAME_RATE_HZ,
        CHUNK_SAMPLES,
    )


def label_rate_hz(features: Features) -> int:
    """Labels a second of audio: 100 for MFCC, 50 for hidden layers."""
    return FRAME_RATE_HZ if isinstance(features, HiddenFeatures) else MFCC_RATE_HZ


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

    def batched(self, waveforms: Tensor, num_samples: Tensor | None) -> list[Tensor]:
        """The layers of several utterances of at most 100 s: (B, N) -> (B, F, D) each."""
        deepest = max(self._layers)
        if num_samples is None:
            states = self._network.hidden_states(waveforms, num_layers=deepest)
        else:
            states = self._network.hidden_states(waveforms, num_samples, deepest, each_alone=True)
        return [states[layer].float() for layer in self._layers]

    def _piece(self, waveform: Floats) -> list[Floats]:
        batch = torch.from_numpy(np.ascontiguousarray(waveform))[None].to(self._device)
        with torch.inference_mode(), single_precision():
            return [layer[0].cpu().numpy() for layer in self.batched(batch, None)]


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
    return [waveform[start : start + chunk_samples + overlap] for start in range(0, last_start + 1, chunk_samples)]


@contextmanager
def single_precision() -> Iterator[None]:
    """Products in fp32 on a GPU too: its matrix units would round their operands to 11 bits.

    Labels name the nearest of many centroids, so rounding moves the frames that lie between two.
    """
    matmul, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, convolution.allow_tf32
    matmul.allow_tf32 = convolution.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, convolution.allow_tf32 = before


def default_device() -> str:
    """A GPU if there is one: hidden features are a forward pass."""
    return "cuda" if torch.cuda.is_available() else "cpu"
