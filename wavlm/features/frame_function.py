"""Frame functions: the features that labels are made of.

They are 39-d Kaldi MFCC, mostly two per frame of the network, log mel energies, or a hidden layer of a model.

Frame 2t of the MFCC and frame t of the network see the same samples: 320 t to 320 t + 399 at 16 kHz.

Legend: B utterances, N samples, F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from wavlm.features.hidden import HiddenLayers, longest_piece
from wavlm.features.layers import check_grid
from wavlm.features.log_mel import stacked_log_mel
from wavlm.features.mfcc import Floats, mfcc, mfcc_batch
from wavlm.specs import Features, LogMelFeatures, MfccFeatures
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid, mfcc_per_frame

Compute = Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class FrameFunction:
    """A function that gives a row for each frame of waveforms on a device.

    compute: waveforms (B, N) and the length of each, (B,) on the CPU, or None if none is padded -> (B, F, ...).
    A row of the batch must not depend on its padding, nor on the other rows.
    """

    compute: Compute
    rate_hz: float  # of the rows: one or two per frame
    piece_samples: int | None = None  # longest waveform that it takes, see `cut_pieces`; None: any
    grid: FrameGrid = PAPER_FRAMES

    def then(self, step: Callable[[Tensor], Tensor]) -> FrameFunction:
        """This function, followed by another one on its frames: (B, F, D) -> (B, F, ...)."""
        before = self.compute
        return FrameFunction(
            lambda waveforms, num_samples: step(before(waveforms, num_samples)),
            self.rate_hz,
            self.piece_samples,
            self.grid,
        )


def frame_function(
    features: Features, model_dir: Path | None, device: str, grid: FrameGrid = PAPER_FRAMES
) -> FrameFunction:
    """The function that computes these features on a device.

    grid: the frames of the network that is to learn the labels.
    Raises ValueError if hidden features come without the folder of a model, and UsageError (LAYER_MISSING) if the model
    lacks the layer or the output, or UsageError (SAMPLE_RATE) if its frames are others than those of `grid`.
    """
    if isinstance(features, MfccFeatures):
        return FrameFunction(partial(mfcc_batch, grid=grid), label_rate_hz(features, grid), grid=grid)
    if isinstance(features, LogMelFeatures):
        stacked = partial(stacked_log_mel, stack_frames=features.stack_frames, grid=grid)
        return FrameFunction(stacked, grid.rate_hz, grid=grid)
    if model_dir is None:
        raise ValueError(f"features of layer {features.layer} need the folder of a model; got none")
    hidden = HiddenLayers(model_dir, (features.layer,), device, features.output, grid.sample_rate_hz)
    check_grid(hidden.grid, grid, model_dir)
    return FrameFunction(
        lambda waveforms, num_samples: hidden.compute_batch(waveforms, num_samples)[0],
        grid.rate_hz,
        longest_piece(grid),
        grid,
    )


def label_rate_hz(features: Features, grid: FrameGrid = PAPER_FRAMES) -> int | float:
    """Labels per second of audio. Of 50 frames per second: 100 for MFCC, 50 for hidden layers and log mel energies."""
    return mfcc_per_frame(grid) * grid.rate_hz if isinstance(features, MfccFeatures) else grid.rate_hz


def mfcc_at_frame_rate(waveform: Floats, grid: FrameGrid = PAPER_FRAMES) -> Floats:
    """The MFCC frames that coincide with the network's frames: (N,) -> (num_frames, 39).

    MFCC has 2 F or 2 F - 1 frames for F frames of the network, so frame 2 (F - 1) always exists.
    """
    return np.ascontiguousarray(mfcc(waveform, grid)[:: mfcc_per_frame(grid)])
