"""Frame functions: the features that labels are made of.

They are 39-d Kaldi MFCC at 100 Hz, log mel energies at 50 Hz, or a hidden layer of a model at 50 Hz.

Frame 2t of the MFCC and frame t of the network are centred on the same sample: 320 t + 200 at 16 kHz.

Legend: B utterances, N samples, F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from wavlm.features.hidden import PIECE_SECONDS, HiddenLayers
from wavlm.features.log_mel import stacked_log_mel
from wavlm.features.mfcc import MFCC_RATE_HZ, Floats, mfcc, mfcc_batch
from wavlm.specs import SAMPLE_RATE_HZ, Features, LogMelFeatures, MfccFeatures
from wavlm.specs.shapes import FRAME_RATE_HZ

Compute = Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class FrameFunction:
    """A function that gives a row for each frame of waveforms on a device.

    compute: waveforms (B, N) and the length of each, (B,) on the CPU, or None if none is padded -> (B, F, ...).
    A row of the batch must not depend on its padding, nor on the other rows.
    """

    compute: Compute
    rate_hz: int  # of the frames
    piece_samples: int | None = None  # longest waveform that it takes, see `cut_pieces`; None: any
    sample_rate_hz: int = SAMPLE_RATE_HZ  # of the waveforms

    def then(self, step: Callable[[Tensor], Tensor]) -> FrameFunction:
        """This function, followed by another one on its frames: (B, F, D) -> (B, F, ...)."""
        before = self.compute
        return FrameFunction(
            lambda waveforms, num_samples: step(before(waveforms, num_samples)),
            self.rate_hz,
            self.piece_samples,
            self.sample_rate_hz,
        )


def frame_function(
    features: Features, model_dir: Path | None, device: str, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> FrameFunction:
    """The function that computes these features on a device.

    Raises ValueError if hidden features come without the folder of a model, and UsageError (LAYER_MISSING) if the model
    lacks the layer or the output, or UsageError (SAMPLE_RATE) if it is for waveforms of another rate.
    """
    if isinstance(features, MfccFeatures):
        compute = partial(mfcc_batch, sample_rate_hz=sample_rate_hz)
        return FrameFunction(compute, MFCC_RATE_HZ, sample_rate_hz=sample_rate_hz)
    if isinstance(features, LogMelFeatures):
        stacked = partial(stacked_log_mel, stack_frames=features.stack_frames, sample_rate_hz=sample_rate_hz)
        return FrameFunction(stacked, FRAME_RATE_HZ, sample_rate_hz=sample_rate_hz)
    if model_dir is None:
        raise ValueError(f"features of layer {features.layer} need the folder of a model; got none")
    hidden = HiddenLayers(model_dir, (features.layer,), device, features.output, sample_rate_hz)
    return FrameFunction(
        lambda waveforms, num_samples: hidden.compute_batch(waveforms, num_samples)[0],
        FRAME_RATE_HZ,
        PIECE_SECONDS * sample_rate_hz,
        sample_rate_hz,
    )


def label_rate_hz(features: Features) -> int:
    """Labels per second of audio: 100 for MFCC, 50 for hidden layers and log mel energies."""
    return MFCC_RATE_HZ if isinstance(features, MfccFeatures) else FRAME_RATE_HZ


def mfcc_at_frame_rate(waveform: Floats, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Floats:
    """The MFCC frames that coincide with the network's frames: (N,) -> (num_frames, 39) at 50 Hz.

    MFCC has 2 F or 2 F - 1 frames for F frames of the network, so frame 2 (F - 1) always exists.
    """
    return np.ascontiguousarray(mfcc(waveform, sample_rate_hz)[:: MFCC_RATE_HZ // FRAME_RATE_HZ])
