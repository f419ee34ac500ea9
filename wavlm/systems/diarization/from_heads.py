"""What a diarizer asks of a trained system: the speakers of a block, or an embedding of a window.

A head of the task `sd` that gives speakers of blocks (`wavlm.evaluation.heads.block`) is used as it is. Any other head
of that task gives probabilities, which are matched from block to block. A head of the task `asv` gives embeddings.

Legend: W windows, N samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.heads.block import BlockOutput, FindsSpeakers
from wavlm.evaluation.metrics.checks import Floats
from wavlm.evaluation.tasks.turns import probabilities_of
from wavlm.features.hidden import single_precision
from wavlm.finetune.data import hear
from wavlm.finetune.load import LoadedSystem
from wavlm.shards.flac import Waveform


@dataclass(frozen=True)
class TrainedHead:
    """A loaded system as a diarizer uses it."""

    loaded: LoadedSystem

    def embed(self, waveforms: Waveform) -> Floats:
        """An embedding per waveform (W, N), of a head of the task `asv`."""
        loaded, size = self.loaded, waveforms.shape[1]
        examples = [Example(str(number), "", "", size, Take(0, number), None) for number in range(len(waveforms))]
        heard = hear(list(waveforms), examples, loaded.frames).to(loaded.device)
        with torch.inference_mode(), single_precision():
            found: Any = loaded.trainee.predict(loaded.system.head, loaded.system.batch(heard))
        return np.array(found, dtype=np.float64)

    def find_block(self, waveform: Waveform) -> BlockOutput:
        """The speakers of a block (N,), of a head of the task `sd`."""
        head = self.loaded.system.head
        batch = self.loaded.batch(waveform)
        with torch.inference_mode(), single_precision():
            if isinstance(head, FindsSpeakers):
                return head.find_speakers(batch.states, batch.num_frames)[0]
            (found,) = self.loaded.trainee.predict(head, batch)
        return BlockOutput(probabilities_of(found))

    @property
    def activity_hop_samples(self) -> int:
        """Samples from one frame of `find_block` to the next."""
        head = self.loaded.system.head
        return head.activity_hop_samples if isinstance(head, FindsSpeakers) else self.loaded.about.hop_samples
