"""EEND-EDA: the activity of a speaker is the sigmoid of frame times attractor (Horiguchi et al. 2020).

Legend: B utterances, S states, F frames of the model, D channels, A activity frames, W width, K speakers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from wavlm.evaluation.heads.block import BlockOutput
from wavlm.evaluation.heads.eend.activity_loss import best_entropy, mean_over_frames
from wavlm.evaluation.heads.eend.attractors import Attractors, count_existing
from wavlm.evaluation.heads.eend.contract import Truth
from wavlm.evaluation.heads.eend.encoder import Encoded, OnFrames
from wavlm.evaluation.heads.embedding import FeatureSize
from wavlm.specs.eend import EdaHead

FOUND_WITH = 0  # the seed of the order of frames, where nothing is trained


class EdaDiarizer(OnFrames):
    """Speakers by attractors of the whole block."""

    def __init__(self, size: FeatureSize, spec: EdaHead) -> None:
        super().__init__(size, spec.encoder)
        self.spec = spec
        self.attractors = Attractors(spec.encoder.width)

    def loss(self, states: Tensor, num_frames: Tensor, truths: Sequence[Truth], seed: int) -> Tensor:
        """Activity in the best order of speakers, and how many attractors exist."""
        activity, existence = attractor_losses(self.attractors, self.encoder(states, num_frames), truths, seed)
        return activity + self.spec.existence_weight * existence

    def find_speakers(self, states: Tensor, num_frames: Tensor) -> list[BlockOutput]:
        """The speakers of each block, as many as attractors exist."""
        encoded = self.encoder(states, num_frames)
        attractors, logits = self.attractors(encoded, self.spec.max_speakers, FOUND_WITH)
        found = []
        for frames, length, row, exists in zip(
            encoded.frames, encoded.lengths.tolist(), attractors, logits, strict=True
        ):
            kept = row[: count_existing(exists)]
            found.append(BlockOutput(torch.sigmoid(frames[:length] @ kept.T).float().cpu().numpy()))
        return found


def attractor_losses(
    attractors: Attractors, encoded: Encoded, truths: Sequence[Truth], seed: int
) -> tuple[Tensor, Tensor]:
    """The losses of activity and of existence: each utterance has one attractor more than speakers, which is none.

    Activity is divided by all frames, existence by all attractors.
    """
    counts = [len(it.speakers) for it in truths]
    found, logits = attractors(encoded, max(counts) + 1, seed)
    sums, entropies = [], []
    for row, frames, length, exists, truth in zip(
        found, encoded.frames, encoded.lengths.tolist(), logits, truths, strict=True
    ):
        count = len(truth.speakers)
        sums.append(best_entropy(frames[:length] @ row[:count].T, truth.activity)[0])
        wanted = (torch.arange(count + 1, device=exists.device) < count).to(exists)
        entropies.append(functional.binary_cross_entropy_with_logits(exists[: count + 1], wanted, reduction="sum"))
    return mean_over_frames(sums, encoded.lengths), torch.stack(entropies).sum() / (sum(counts) + len(counts))
