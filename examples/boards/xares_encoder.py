"""A model as an encoder of X-ARES: `python -m xares.run xares_encoder.py TASKS`.

WAVLM_FOLDER names the model's folder, WAVLM_LAYER the layer (`mean`: the mean over all, which is the default).

Current torchaudio reads files by torchcodec alone. Where that is not installed, X-ARES drops every recording without a
word and then finds its loader empty, so soundfile reads them here.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import soundfile
import torch
import torchaudio
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))  # X-ARES loads this file by its path
from frames import HOP_SAMPLES, SAMPLE_RATE_HZ, LayerFrames


def read_sound(path: str) -> tuple[Tensor, int]:
    """What `torchaudio.load` gives: (channels, N) and the rate."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(samples.T), rate


if find_spec("torchcodec") is None:
    torchaudio.load = read_sound


class WavlmEncoder(torch.nn.Module):
    """What X-ARES asks of an encoder: its rate, width and hop, and frames of a batch."""

    def __init__(self) -> None:
        super().__init__()
        layer = os.environ.get("WAVLM_LAYER", "mean")
        self.frames = LayerFrames(Path(os.environ["WAVLM_FOLDER"]), None if layer == "mean" else int(layer))
        self.sampling_rate = SAMPLE_RATE_HZ
        self.output_dim = self.frames.num_channels
        self.hop_size_in_ms = 1000 * HOP_SAMPLES // SAMPLE_RATE_HZ

    def forward(self, audio: Tensor) -> Tensor:
        """(B, N) or (N,) to (B, F, D). X-ARES fills a batch with zeros and does not say how long each row is."""
        frames: Tensor = self.frames(torch.atleast_2d(audio))
        return frames.clone()  # an inference tensor cannot be kept by those who train on it
