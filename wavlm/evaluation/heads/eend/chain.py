"""SC-EEND: one speaker after another, each knowing who was found before (Fujita et al. 2020, arXiv 2006.01796).

An LSTM cell steps from speaker to speaker, for each frame by itself: its input is the frame and whether the speaker
before is active in it. One that is silent throughout ends the chain. In training the chain first runs by itself, which
gives the order of speakers, and then with the truth in that order.

Legend: B utterances, S states, F frames of the model, D channels, A activity frames, W width, R speakers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wavlm.evaluation.heads.block import BlockOutput
from wavlm.evaluation.heads.eend.activity_loss import find_order, mean_over_frames, summed_entropy, take
from wavlm.evaluation.heads.eend.contract import Truth
from wavlm.evaluation.heads.eend.encoder import OnFrames
from wavlm.evaluation.heads.embedding import FeatureSize
from wavlm.specs.eend import ChainHead

State = tuple[Tensor, Tensor]
ACTIVE = 0.5


class ChainDiarizer(OnFrames):
    """Speakers by a chain of conditions."""

    def __init__(self, size: FeatureSize, spec: ChainHead) -> None:
        super().__init__(size, spec.encoder)
        self.spec = spec
        self.step = nn.LSTMCell(spec.encoder.width + 1, spec.encoder.width)
        self.output = nn.Linear(spec.encoder.width, 1)

    def loss(self, states: Tensor, num_frames: Tensor, truths: Sequence[Truth], seed: int) -> Tensor:  # noqa: ARG002
        """Mean binary cross entropy of all speakers and of a silent one behind them."""
        encoded = self.encoder(states, num_frames)
        sums = []
        for frames, length, truth in zip(encoded.frames, encoded.lengths.tolist(), truths, strict=True):
            kept, count = frames[:length], len(truth.speakers)
            with torch.no_grad():
                alone = self.run(kept, count)
            target = take(truth.activity, [*find_order(alone, truth.activity), -1])  # (A, R + 1)
            sums.append(summed_entropy(self.run(kept, count + 1, target), target))
        return mean_over_frames(sums, encoded.lengths)

    def find_speakers(self, states: Tensor, num_frames: Tensor) -> list[BlockOutput]:
        """The speakers of each block, until one is silent."""
        encoded = self.encoder(states, num_frames)
        found = []
        for frames, length in zip(encoded.frames, encoded.lengths.tolist(), strict=True):
            logits = self.run(frames[:length], self.spec.max_speakers, ends=True)
            found.append(BlockOutput(torch.sigmoid(logits).float().cpu().numpy()))
        return found

    def run(self, frames: Tensor, count: int, told: Tensor | None = None, *, ends: bool = False) -> Tensor:
        """The logits of `count` speakers (A, count), or of fewer if it ends before a silent one.

        told: the activity (A, count) that each next speaker knows; without it, what was decided.
        """
        state: State | None = None
        before = frames.new_zeros(len(frames), 1)
        columns: list[Tensor] = []
        for number in range(count):
            state = self.step(torch.cat([frames, before], dim=1), state)
            logits = self.output(state[0])  # (A, 1)
            decided = (torch.sigmoid(logits) > ACTIVE).to(frames)
            if ends and not decided.any():
                break
            columns.append(logits)
            before = decided if told is None else told[:, number : number + 1].to(frames)
        return torch.cat(columns, dim=1) if columns else frames.new_zeros(len(frames), 0)
