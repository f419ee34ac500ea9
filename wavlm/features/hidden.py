"""Hidden layers of a saved model as features at 50 Hz, of one utterance or of a batch.

Legend: B utterances, N samples, F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavlm.features.mfcc import MFCC_FRAME_SAMPLES
from wavlm.nn import load_model
from wavlm.specs import HOP_SAMPLES

Floats = npt.NDArray[np.float32]

# The network hears at most this much at once (100 s); fairseq's dump_hubert_feature does the same.
PIECE_SAMPLES = 1_600_000


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
        pieces = [self._compute_piece(piece) for piece in cut_pieces(waveform)]
        return [np.concatenate(of_layer) for of_layer in zip(*pieces, strict=True)]

    def compute_batch(self, waveforms: Tensor, num_samples: Tensor | None) -> list[Tensor]:
        """The layers of several utterances of at most 100 s: (B, N) -> (B, F, D) each."""
        deepest = max(self._layers)
        if num_samples is None:
            states = self._network.hidden_states(waveforms, num_layers=deepest)
        else:
            states = self._network.hidden_states(waveforms, num_samples, deepest, each_alone=True)
        return [states[layer].float() for layer in self._layers]

    def _compute_piece(self, waveform: Floats) -> list[Floats]:
        batch = torch.from_numpy(np.ascontiguousarray(waveform))[None].to(self._device)
        with torch.inference_mode(), single_precision():
            return [layer[0].cpu().numpy() for layer in self.compute_batch(batch, None)]


class Hidden:
    """One of `HiddenLayers`: (N,) -> (F, D)."""

    def __init__(self, model_dir: Path, layer: int, device: str = "cpu") -> None:
        self._layers = HiddenLayers(model_dir, (layer,), device)

    def __call__(self, waveform: Floats) -> Floats:
        return self._layers(waveform)[0]


def cut_pieces(waveform: Floats, piece_samples: int = PIECE_SAMPLES) -> list[Floats]:
    """Cut a waveform so that the frames of the pieces, in order, are those of the whole.

    `piece_samples` must be a multiple of the hop. A rest too short for a frame of its own belongs
    to the last piece's edge and is dropped, as the whole would drop it.
    """
    overlap = MFCC_FRAME_SAMPLES - HOP_SAMPLES
    last_start = max(0, len(waveform) - MFCC_FRAME_SAMPLES)
    return [waveform[start : start + piece_samples + overlap] for start in range(0, last_start + 1, piece_samples)]


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
