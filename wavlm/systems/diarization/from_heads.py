"""Diarizers from a trained head and the model below it.

A head of the task `sd` that gives speakers of blocks (`wavlm.evaluation.heads.block`) is used as it is. Any other head
of that task gives probabilities, which are matched from block to block. A head of the task `asv` gives embeddings.

Legend: W windows, N samples, S states, F frames, D channels, K speakers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.heads.block import BlockOutput, FindsSpeakers
from wavlm.evaluation.metrics.checks import Floats
from wavlm.evaluation.tasks.task import Batch, Trainee
from wavlm.evaluation.tasks.turns import probabilities_of
from wavlm.shards.flac import Waveform

ComputeBatch = Callable[[Tensor], Tensor]  # waveforms of one length (W, N) to states (W, S, F, D)


@dataclass(frozen=True)
class TrainedHead:
    """A head, the task that knows what its output means, and what computes the states below it."""

    trainee: Trainee
    head: nn.Module
    compute: ComputeBatch
    hop_samples: int  # from one frame of the states to the next
    device: str = "cpu"

    def embed(self, waveforms: Waveform) -> Floats:
        """An embedding per waveform (W, N), of a head of the task `asv`."""
        with torch.inference_mode():
            found: Any = self.trainee.predict(self.head.eval(), self._batch(waveforms))
        return np.array(found, dtype=np.float64)

    def find_block(self, waveform: Waveform) -> BlockOutput:
        """The speakers of a block (N,), of a head of the task `sd`."""
        batch = self._batch(waveform[None])
        with torch.inference_mode():
            if isinstance(self.head, FindsSpeakers):
                return self.head.eval().find_speakers(batch.states, batch.num_frames)[0]
            (found,) = self.trainee.predict(self.head.eval(), batch)
        return BlockOutput(probabilities_of(found))

    @property
    def activity_hop_samples(self) -> int:
        """RecordedSamples from one frame of `find_block` to the next."""
        return self.head.activity_hop_samples if isinstance(self.head, FindsSpeakers) else self.hop_samples

    def _batch(self, waveforms: Waveform) -> Batch:
        states = self.compute(torch.from_numpy(np.ascontiguousarray(waveforms)).to(self.device))
        examples = tuple(
            Example(str(number), "", "", waveforms.shape[1], Take(0, 0), {}) for number in range(len(waveforms))
        )
        return Batch(examples, states, torch.full((len(waveforms),), states.shape[2], device=states.device))
