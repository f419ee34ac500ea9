"""Attractors of speakers: an LSTM reads frames in a shuffled order, another writes one attractor per speaker.

Horiguchi et al. 2020, arXiv 2005.09921. Order means nothing here, which shuffling teaches the LSTM.

Legend: B utterances, A activity frames, W width, N attractors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from wavlm.evaluation.heads.eend.encoder import Encoded

EXISTS = 0.5  # an attractor with a lower probability is none, nor are those after it


class Attractors(nn.Module):
    """Frames to attractors, and to a logit for each that says whether there is such a speaker."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.encoder = nn.LSTM(width, width, batch_first=True)
        self.decoder = nn.LSTM(width, width, batch_first=True)
        self.exists = nn.Linear(width, 1)

    def forward(self, encoded: Encoded, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """The first `count` attractors (B, N, W) and their logits (B, N). The seed decides the order of frames."""
        rows = shuffle(encoded, seed)
        packed = pack_padded_sequence(rows, encoded.lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, state = self.encoder(packed)
        zeros = rows.new_zeros(len(rows), count, self.width)
        attractors = self.decoder(zeros, state)[0]
        return attractors, self.exists(attractors)[..., 0]


def count_existing(logits: Tensor) -> int:
    """The attractors of one utterance (N,) before the first that does not exist."""
    missing = (torch.sigmoid(logits) < EXISTS).nonzero()
    return int(missing[0]) if len(missing) else len(logits)


def shuffle(encoded: Encoded, seed: int) -> Tensor:
    """The valid frames of each utterance in another order: (B, A, W)."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    orders = torch.arange(encoded.frames.shape[1]).repeat(len(encoded.frames), 1)
    for order, length in zip(orders, encoded.lengths.tolist(), strict=True):
        order[:length] = torch.randperm(length, generator=generator)
    rows = torch.arange(len(orders))[:, None]
    return encoded.frames[rows, orders]
