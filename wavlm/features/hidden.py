"""Hidden layers of a saved model as features at its frame rate, for one utterance or for a batch.

Legend: B utterances, N samples, F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wavlm.features.layers import Output, check_layers, check_rate
from wavlm.features.mfcc import Floats
from wavlm.nn import load_model
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid

# Longest input of the network (100 s). fairseq's dump_hubert_feature has the same limit.
PIECE_SECONDS = 100
PIECE_SAMPLES = PIECE_SECONDS * SAMPLE_RATE_HZ  # of evaluations, whose audio has that rate


class HiddenLayers:
    """Raw outputs of layers of a saved model: (N,) -> (F, D) for each layer. Layers count from 1.

    output: before any final norm (`residual`), or after it (`normed`): `HiddenFeatures.output`.

    Nothing is masked or dropped out. A waveform above 100 s is computed in pieces of 100 s, which have the same number
    of frames, at the same times, as the whole. `grid` is that of the model.
    sample_rate_hz: of the waveforms.
    Raises UsageError: LAYER_MISSING if the model does not have one of the layers, or this output; SAMPLE_RATE if it is
    for waveforms of another rate.
    """

    def __init__(
        self,
        model_dir: Path,
        layers: Sequence[int],
        device: str = "cpu",
        output: Output = "residual",
        sample_rate_hz: int = SAMPLE_RATE_HZ,
    ) -> None:
        self._network = load_model(model_dir, device)
        self.sample_rate_hz = sample_rate_hz
        check_rate(self._network.network, sample_rate_hz, model_dir)
        self.grid = FrameGrid.of(self._network.network)
        self._layers = tuple(layers)
        self._device = device
        self._is_normed = output == "normed"
        check_layers(self._network.network, layers, output, model_dir)

    def __call__(self, waveform: Floats) -> list[Floats]:
        """The layers of one utterance of any length: (N,) -> (F, D) for each layer."""
        pieces = [self._compute_piece(piece) for piece in cut_pieces(waveform, grid=self.grid)]
        return [np.concatenate(rows) for rows in zip(*pieces, strict=True)]

    def compute_batch(self, waveforms: Tensor, num_samples: Tensor | None) -> list[Tensor]:
        """The layers of utterances of at most 100 s: (B, N) -> (B, F, D) for each layer.

        num_samples (B,): the length of each utterance; None if none is padded.
        """
        deepest = max(self._layers)
        if num_samples is None:
            states = self._network.hidden_states(waveforms, num_layers=deepest)
        else:
            states = self._network.hidden_states(waveforms, num_samples, deepest, each_alone=True)
        chosen = [states[layer] for layer in self._layers]
        return [(self._network.encoder.final(state) if self._is_normed else state).float() for state in chosen]

    def _compute_piece(self, waveform: Floats) -> list[Floats]:
        batch = torch.from_numpy(np.ascontiguousarray(waveform))[None].to(self._device)
        with torch.inference_mode(), single_precision():
            return [layer[0].cpu().numpy() for layer in self.compute_batch(batch, None)]


def longest_piece(grid: FrameGrid) -> int:
    """Samples of the longest piece of a waveform: the whole frames of 100 s."""
    return PIECE_SECONDS * grid.sample_rate_hz // grid.hop_samples * grid.hop_samples


def cut_pieces(waveform: Floats, piece_samples: int | None = None, grid: FrameGrid = PAPER_FRAMES) -> list[Floats]:
    """Cut a waveform (N,) so that the frames of the pieces, in order, are the frames of the whole.

    `piece_samples` must be a multiple of the hop; None: `longest_piece`. Samples at the end that are too few for a
    frame are dropped, as the network drops them in the whole.
    """
    step = piece_samples or longest_piece(grid)
    overlap = grid.window_samples - grid.hop_samples
    last_start = max(0, len(waveform) - grid.window_samples)
    return [waveform[start : start + step + overlap] for start in range(0, last_start + 1, step)]


@contextmanager
def single_precision() -> Iterator[None]:
    """Compute products in fp32 on a GPU too. By default its matrix units may round the operands to 11 bits (TF32).

    A label is the nearest of many centroids, so rounding would change the labels of frames between two of them.
    """
    matmul, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, convolution.allow_tf32
    matmul.allow_tf32 = convolution.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, convolution.allow_tf32 = before


def default_device() -> str:
    """ "cuda" if there is a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"
