"""One micro-batch of the trainer, packed to travel or on a device.

Shapes: B utterances, N samples, F frames.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from wavlm.loader.masking import Spans
from wavlm.loader.pcm import PackedAudio, Stretch
from wavlm.loader.sampler import SamplerState
from wavlm.loader.samples import MicroBatchArrays
from wavlm.specs import SAMPLE_RATE_HZ, MaskSpec


@dataclass(frozen=True)
class Batch:
    """One group; nothing in it is padded. A loader's is packed, one moved `to` a device is not."""

    audio: PackedAudio | torch.Tensor  # (B, N): packed, or float32
    labels: torch.Tensor  # (B, F) int64
    spans: Spans | torch.Tensor  # of (B, F): packed, or the mask
    keys: tuple[str, ...]
    position: SamplerState  # of this group
    after: SamplerState  # where the update that it belongs to ends: what a snapshot stores
    num_masked: int | None = None  # masked frames, once they have been counted

    @property
    def waveforms(self) -> torch.Tensor:
        """(B, N) float32; of a packed batch they are made anew each time."""
        return self.audio.waveforms() if isinstance(self.audio, PackedAudio) else self.audio

    @property
    def mask(self) -> torch.Tensor:
        """(B, F) bool, True where a frame is masked; of a packed batch made anew each time."""
        return self._mask_on(self.labels.device)

    @property
    def seconds(self) -> float:
        """Seconds of audio, all utterances together."""
        samples = self.audio.pcm if isinstance(self.audio, PackedAudio) else self.audio
        return samples.numel() / SAMPLE_RATE_HZ

    def to(self, device: torch.device) -> Batch:
        """The batch on a device, unpacked there: 16-bit steps travel, float32 waveforms arrive.

        Masks are made there and their frames counted. The caller waits for that number and thereby
        for all that was asked before it: the batch has arrived.
        """
        if isinstance(self.audio, PackedAudio):
            waveforms = self.audio.to(device).waveforms()
        else:
            waveforms = self.audio.to(device, non_blocking=True)
        labels = self.labels.to(device, non_blocking=True)
        mask = self._mask_on(device)
        num_masked = int(mask.sum())  # the last thing that is asked
        return replace(self, audio=waveforms, labels=labels, spans=mask, num_masked=num_masked)

    def pin_memory(self) -> Batch:
        """A copy that a CUDA device can fetch while it computes."""
        return replace(self, audio=self.audio.pin_memory(), labels=self.labels.pin_memory())

    def _mask_on(self, device: torch.device) -> torch.Tensor:
        if isinstance(self.spans, Spans):
            return self.spans.masks(device)
        return self.spans.to(device, non_blocking=True)


def make_batch(arrays: MicroBatchArrays, mask: MaskSpec, position: SamplerState, after: SamplerState) -> Batch:
    changes = (
        Stretch(change.row, change.start_samples, torch.from_numpy(change.waveform)) for change in arrays.changes
    )
    return Batch(
        audio=PackedAudio(torch.from_numpy(arrays.pcm), tuple(changes)),
        labels=torch.from_numpy(arrays.labels.astype(np.int64)),
        spans=Spans(arrays.labels.shape[1], mask, arrays.mask_seeds),
        keys=arrays.keys,
        position=position,
        after=after,
    )
