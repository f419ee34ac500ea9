"""Waveforms as they travel: 16-bit steps, and in float32 only what is no such step any more.

Two bytes a sample instead of four go from a loader's process to the trainer and from there to a
device; float32 is made where it is needed. A step times 2**-15 is exact, so the waveforms are the
same on every device, to the bit.

Shapes: B utterances, N samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from wavlm.shards.flac import FULL_SCALE


class Stretch(NamedTuple):
    """A part of one crop that is no longer what was read."""

    row: int
    start_samples: int
    waveform: Tensor  # float32: what is there now


@dataclass(frozen=True)
class PackedAudio:
    """Crops of one length."""

    pcm: Tensor  # (B, N) int16
    changes: tuple[Stretch, ...] = ()  # in the order in which they are made

    def waveforms(self) -> Tensor:
        """The crops as float32, (B, N), on the device of the steps."""
        waveforms = self.pcm.to(torch.float32).mul_(1 / FULL_SCALE)
        for row, start, waveform in self.changes:
            waveforms[row, start : start + len(waveform)] = waveform
        return waveforms

    def to(self, device: torch.device) -> PackedAudio:
        """A copy on a device; from pinned memory it is made beside whatever else goes on."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> PackedAudio:
        """A copy that a CUDA device can fetch by itself."""
        return self._each(torch.Tensor.pin_memory)

    def _each(self, copy: Callable[[Tensor], Tensor]) -> PackedAudio:
        changes = (change._replace(waveform=copy(change.waveform)) for change in self.changes)
        return replace(self, pcm=copy(self.pcm), changes=tuple(changes))
