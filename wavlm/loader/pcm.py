"""Packed audio: crops as int16 samples, and float32 only for the parts that mixing or effects changed.

An int16 sample has two bytes, a float32 sample four. int16 samples go from the loader's workers to the trainer and
from there to the device; the device converts them. A sample times 2**-15 is exact in float32, so the waveforms are
the same bits on every device.

Legend: B utterances, N samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wavlm.mixing.mix import Change
from wavlm.shards.flac import FULL_SCALE


@dataclass(frozen=True)
class PackedAudio:
    """Crops of equal length."""

    pcm: Tensor  # (B, N) int16
    changes: tuple[Change[Tensor], ...] = ()  # in the order in which they are applied

    def waveforms(self) -> Tensor:
        """The crops as float32, (B, N), on the device of `pcm`; a new tensor each time."""
        waveforms = self.pcm.to(torch.float32).mul_(1 / FULL_SCALE)
        for change in self.changes:
            change.apply_to(waveforms)
        return waveforms

    def to(self, device: torch.device) -> PackedAudio:
        """A copy on a device; from pinned memory the copy is asynchronous."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> PackedAudio:
        """A copy in pinned memory, from which a CUDA device can copy asynchronously."""
        return self._map(torch.Tensor.pin_memory)

    def _map(self, copy: Callable[[Tensor], Tensor]) -> PackedAudio:
        return replace(self, pcm=copy(self.pcm), changes=tuple(change.map(copy) for change in self.changes))
