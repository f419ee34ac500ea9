"""EEND-vector clustering: a few speakers per block, with embeddings that tell them from others everywhere.

Kinoshita et al. 2021, arXiv 2105.09040: an embedding is the mean of unit vectors of frames, weighted by activity, at
length 1. Its logit for a training speaker is -(alpha d^2 + beta), where d is the distance to a learned unit vector.

Legend: B utterances, S states, F frames of the model, D channels, A activity frames, K local speakers, E embedding,
T training speakers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.evaluation.heads.block import BlockOutput
from wavlm.evaluation.heads.eend.activity_loss import best_entropy, mean_over_frames
from wavlm.evaluation.heads.eend.contract import Truth
from wavlm.evaluation.heads.eend.encoder import Encoded, OnFrames
from wavlm.evaluation.heads.embedding import FeatureSize
from wavlm.specs.eend import VectorHead

LEAST_ALPHA = sys.float_info.epsilon  # as in the authors' code
LEAST_NORM = 1e-12  # of what has no direction: functional.normalize


class VectorDiarizer(OnFrames):
    """Local speakers, and a table of all training speakers, which finding needs no more."""

    def __init__(self, size: FeatureSize, spec: VectorHead, num_speakers: int) -> None:
        super().__init__(size, spec.encoder)
        self.spec = spec
        width = spec.encoder.width
        self.output = nn.Linear(width, spec.local_speakers)
        self.vectors = nn.Linear(width, spec.local_speakers * spec.embedding)
        self.table = nn.Embedding(max(1, num_speakers), spec.embedding)
        # As in the authors' code both begin between 0.5 and 1.5.
        self.alpha = nn.Parameter(torch.rand(()) + 0.5)
        self.beta = nn.Parameter(torch.rand(()) + 0.5)

    def loss(self, states: Tensor, num_frames: Tensor, truths: Sequence[Truth], seed: int) -> Tensor:  # noqa: ARG002
        """(1 - r) times the loss of activity, r times that of embeddings; silent outputs have none."""
        encoded = self.encoder(states, num_frames)
        logits, embeddings = self.compute(encoded)
        sums, of_speakers = [], []
        for row, found, length, truth in zip(logits, embeddings, encoded.lengths.tolist(), truths, strict=True):
            kept = _loudest(truth, self.spec.local_speakers)
            entropy, order = best_entropy(row[:length], kept.activity)
            sums.append(entropy)
            of_speakers.append(self.speaker_loss(found, [kept.speakers[it] if it >= 0 else -1 for it in order]))
        share = self.spec.speaker_weight
        return (1 - share) * mean_over_frames(sums, encoded.lengths) + share * torch.stack(of_speakers).mean()

    def compute(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Logits of activity (B, A, K), and embeddings (B, K, E)."""
        logits = self.output(encoded.frames)
        vectors = self.vectors(encoded.frames).unflatten(2, (self.spec.local_speakers, self.spec.embedding))
        valid = torch.arange(logits.shape[1], device=logits.device) < encoded.lengths[:, None]
        weights = torch.sigmoid(logits) * valid[..., None]  # (B, A, K)
        mean = torch.einsum("bak,bake->bke", weights, functional.normalize(vectors, dim=3, eps=LEAST_NORM))
        return logits, functional.normalize(mean, dim=2, eps=LEAST_NORM)

    def speaker_loss(self, embeddings: Tensor, speakers: Sequence[int]) -> Tensor:
        """The mean over local speakers of the cross entropy over all training speakers; 0 for -1: (K, E) to ()."""
        table = functional.normalize(self.table.weight, dim=1, eps=LEAST_NORM)
        # Between unit vectors d^2 is 2 - 2 cos, which has a gradient at 0.
        squared = 2 - 2 * embeddings @ table.T  # (K, T)
        logits = -(self.alpha.clamp(min=LEAST_ALPHA) * squared + self.beta)
        active = [number for number, speaker in enumerate(speakers) if speaker >= 0]
        if not active:
            return logits.sum() * 0
        wanted = torch.tensor([speakers[number] for number in active], device=logits.device)
        return functional.cross_entropy(logits[active], wanted, reduction="sum") / len(speakers)

    def find_speakers(self, states: Tensor, num_frames: Tensor) -> list[BlockOutput]:
        """All local speakers of each block, silent ones as well."""
        encoded = self.encoder(states, num_frames)
        logits, embeddings = self.compute(encoded)
        activities = torch.sigmoid(logits).float().cpu().numpy()
        return [
            BlockOutput(row[:length], found)
            for row, found, length in zip(
                activities, embeddings.float().cpu().numpy(), encoded.lengths.tolist(), strict=True
            )
        ]


def _loudest(truth: Truth, most: int) -> Truth:
    """The speakers who speak most, as in the authors' code, in the order in which they were."""
    if len(truth.speakers) <= most:
        return truth
    amounts = truth.activity.sum(0)
    kept = sorted(sorted(range(len(truth.speakers)), key=lambda column: (-float(amounts[column]), column))[:most])
    return Truth(truth.activity[:, kept], tuple(truth.speakers[column] for column in kept))
