"""Frames of one layer of a model, for boards that want a module: any folder that `wavlm.load` reads.

B utterances, N samples, F frames, D channels.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

import wavlm

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 320
CHUNK_SAMPLES = 30 * SAMPLE_RATE_HZ  # attention takes memory with the square of it
FEWEST_SAMPLES = 400  # one frame


class LayerFrames(nn.Module):
    """Waveforms (B, N) to frames (B, F, D). Long ones are cut into chunks, which lose a frame where they meet.

    layer: 0 is the encoder's input, n the output of layer n; None: the mean over all of them.
    """

    def __init__(self, folder: Path, layer: int | None) -> None:
        super().__init__()
        self.network = wavlm.load(folder)
        self.layer = layer
        num_layers = self.network.network.num_layers
        if layer is not None and not 0 <= layer <= num_layers:
            raise ValueError(f"layer {layer}; the network in {folder} has 0 to {num_layers}")

    @property
    def num_channels(self) -> int:
        """D"""
        return self.network.network.width

    @torch.inference_mode()
    def forward(self, waveforms: Tensor) -> Tensor:
        """Amplitudes in [-1, 1] at 16 kHz."""
        chunks = waveforms.float().split(CHUNK_SAMPLES, dim=1)
        return torch.cat([self._frames(chunk) for chunk in chunks], dim=1)

    def _frames(self, waveforms: Tensor) -> Tensor:
        missing = max(0, FEWEST_SAMPLES - waveforms.shape[1])
        waveforms = nn.functional.pad(waveforms, (0, missing))
        states = self.network.hidden_states(waveforms, num_layers=self.layer)
        return torch.stack(states).mean(0) if self.layer is None else states[-1]
