"""The batch that the trainer computes: packed as it comes from the loader, and unpacked on a device.

`PackedBatch` is what the loader delivers: int16 samples, labels, and the seeds of the masks. `PackedBatch.to(device)`
copies these few bytes and gives a `Batch`: the float32 waveforms and the mask are computed on that device.

A batch is one micro-batch. All its crops have the same length, so nothing is padded.

Legend: B utterances, N samples, F frames. Labels of C > 1 streams have an axis more: (B, F, C).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from wavlm.loader.epochs import SamplerState
from wavlm.loader.masking import Spans
from wavlm.loader.pcm import PackedAudio
from wavlm.loader.samples import MicroBatchArrays
from wavlm.mixing.counts import MixingCounts
from wavlm.specs import SAMPLE_RATE_HZ, MaskSpec


@dataclass(frozen=True)
class Batch:
    """A micro-batch on a device, ready for the network."""

    waveforms: Tensor  # (B, N) float32
    labels: Tensor  # (B, F) int64
    mask: Tensor  # (B, F) bool, True where a frame is masked
    num_masked: int  # masked frames in the whole batch
    keys: tuple[str, ...]  # (B,)
    position: SamplerState  # of this micro-batch
    after: SamplerState  # after the update that this micro-batch belongs to; a checkpoint stores it
    mixing: MixingCounts  # what mixing and effects did to these utterances
    heard: tuple[int, ...] = ()  # frames of each of `Groups.names` in all micro-batches of this update
    sample_rate_hz: int = SAMPLE_RATE_HZ

    @property
    def seconds(self) -> float:
        """Seconds of audio, summed over the utterances."""
        return self.waveforms.numel() / self.sample_rate_hz


@dataclass(frozen=True)
class PackedBatch:
    """A micro-batch in host memory, as the loader delivers it."""

    audio: PackedAudio  # of (B, N) samples
    labels: Tensor  # (B, F) int64
    spans: Spans  # from which the mask (B, F) is computed
    keys: tuple[str, ...]  # (B,)
    position: SamplerState  # of this micro-batch
    after: SamplerState  # after the update that this micro-batch belongs to
    mixing: MixingCounts  # what mixing and effects did to these utterances
    heard: tuple[int, ...] = ()  # frames of each of `Groups.names` in all micro-batches of this update
    sample_rate_hz: int = SAMPLE_RATE_HZ

    @property
    def seconds(self) -> float:
        """Seconds of audio, summed over the utterances."""
        return self.audio.pcm.numel() / self.sample_rate_hz

    def pin_memory(self) -> PackedBatch:
        """A copy in pinned memory, from which a CUDA device can copy asynchronously."""
        return replace(self, audio=self.audio.pin_memory(), labels=self.labels.pin_memory())

    def to(self, device: torch.device) -> Batch:
        """The batch on a device, unpacked.

        The number of masked frames is computed last and read by the host. So when this returns, all copies and
        computations of this batch are done.
        """
        waveforms = self.audio.to(device).waveforms()
        labels = self.labels.to(device, non_blocking=True)
        mask = self.spans.masks(device)
        return Batch(
            waveforms=waveforms,
            labels=labels,
            mask=mask,
            num_masked=int(mask.sum()),
            keys=self.keys,
            position=self.position,
            after=self.after,
            mixing=self.mixing,
            heard=self.heard,
            sample_rate_hz=self.sample_rate_hz,
        )


def pack(
    arrays: MicroBatchArrays,
    mask: MaskSpec,
    position: SamplerState,
    after: SamplerState,
    heard: tuple[int, ...] = (),
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> PackedBatch:
    """The batch of these arrays; their samples are not copied."""
    return PackedBatch(
        audio=PackedAudio(
            torch.from_numpy(arrays.pcm), tuple(change.map(torch.from_numpy) for change in arrays.changes)
        ),
        labels=torch.from_numpy(arrays.labels.astype(np.int64)),
        spans=Spans(arrays.labels.shape[1], mask, arrays.mask_seeds),
        keys=arrays.keys,
        position=position,
        after=after,
        mixing=arrays.mixing,
        heard=heard,
        sample_rate_hz=sample_rate_hz,
    )
