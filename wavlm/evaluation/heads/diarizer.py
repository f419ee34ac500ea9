"""Who speaks in each frame: SUPERB's head for diarization, with the loss of the best order of speakers.

B utterances, F frames, D channels, H hidden channels, S speakers.
"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.evaluation.heads.padding import run_recurrent, without_padding

HIDDEN = 512  # s3prl, downstream/diarization/config.yaml: hidden_size, rnn_layers, num_speakers
NUM_LAYERS = 1
NUM_SPEAKERS = 2


class Diarizer(nn.Module):
    """LSTM of H units, from the past to the future only; Linear H to S."""

    def __init__(
        self, width: int, num_speakers: int = NUM_SPEAKERS, *, hidden: int = HIDDEN, num_layers: int = NUM_LAYERS
    ) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(width, hidden, num_layers, batch_first=True)
        self.output = nn.Linear(hidden, num_speakers)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """A logit per frame and speaker, who speaks if it is above 0: (B, F, D) to (B, F, S)."""
        logits: Tensor = self.output(run_recurrent(self.recurrent, frames, lengths))
        return logits


def diarization_loss(logits: Tensor, activity: Tensor, lengths: Tensor) -> Tensor:
    """Binary cross entropy per frame and speaker, each utterance in its best order of speakers: () over all frames.

    activity (B, F, S) is 1 where a speaker speaks, else 0. As the reference has it, the sum over all utterances is
    divided by the number of their frames (s3prl, downstream/diarization/utils.py: pit_loss; Fujita et al. 2019).
    """
    num_speakers = logits.shape[2]
    of_orders = [
        _summed_entropy(logits, activity[..., list(order)], lengths) for order in permutations(range(num_speakers))
    ]
    best = torch.stack(of_orders).amin(0)  # (B,)
    return best.sum() / lengths.sum()


def _summed_entropy(logits: Tensor, activity: Tensor, lengths: Tensor) -> Tensor:
    entropies = functional.binary_cross_entropy_with_logits(logits, activity.to(logits), reduction="none")
    return without_padding(entropies, lengths).mean(2).sum(1)  # (B,)
