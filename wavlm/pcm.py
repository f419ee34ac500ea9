"""Waveforms as they travel: 16-bit steps, and in float32 only what is no such step any more.

Two bytes a sample instead of four go from a loader's process to the trainer and from there to a
device; float32 is made where it is needed. A step times 2**-15 is exact, so the waveforms are the
same on every device, to the bit.

Shapes: B utterances, N samples, M samples of all changes together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from wavlm.flac import FULL_SCALE


class Region(NamedTuple):
    """Where a change goes."""

    row: int
    start_samples: int
    num_samples: int


@dataclass(frozen=True)
class Pcm:
    """Crops of one length."""

    steps: Tensor  # (B, N) int16
    changes: Tensor  # (M,) float32, region after region: what is there instead of the steps
    regions: tuple[Region, ...] = ()

    def waveforms(self) -> Tensor:
        """The crops as float32, (B, N), on the device of the steps."""
        waveforms = self.steps.to(torch.float32).mul_(1 / FULL_SCALE)
        at = 0
        for row, start, length in self.regions:
            waveforms[row, start : start + length] = self.changes[at : at + length]
            at += length
        return waveforms

    def to(self, device: torch.device) -> Pcm:
        """A copy on a device; from pinned memory it is made beside whatever else goes on."""
        return replace(
            self,
            steps=self.steps.to(device, non_blocking=True),
            changes=self.changes.to(device, non_blocking=True),
        )

    def pin_memory(self) -> Pcm:
        """A copy that a CUDA device can fetch by itself."""
        return replace(self, steps=self.steps.pin_memory(), changes=self.changes.pin_memory())
