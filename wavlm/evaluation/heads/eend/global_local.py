"""EEND-EDA clustering: attractors of short stretches, clustered, so that a block may have any number of speakers.

Horiguchi et al. 2021, arXiv 2107.01545. All frames of a block see one another in the encoder. In training, attractors
of the whole block are learned, too. Two attractors of one stretch are two speakers. The paper relates the attractors of
a recording by a Transformer before they are clustered. Here each is projected by itself, so that those of blocks that
are computed apart compare.

Legend: B utterances, S states, F frames of the model, D channels, A activity frames, N attractors, E embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.evaluation.heads.apart import cluster_apart
from wavlm.evaluation.heads.block import BlockOutput, Numbers
from wavlm.evaluation.heads.eend.activity_loss import find_order
from wavlm.evaluation.heads.eend.attractors import Attractors, count_existing
from wavlm.evaluation.heads.eend.contract import Truth
from wavlm.evaluation.heads.eend.eda import FOUND_WITH, attractor_losses
from wavlm.evaluation.heads.eend.encoder import Encoded, OnFrames
from wavlm.evaluation.heads.embedding import FeatureSize
from wavlm.rng import seed_for
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.eend import GlobalLocalHead

LEAST_SQUARED = 1e-12  # the root of a distance has a gradient


@dataclass(frozen=True)
class Stretch:
    """A part of a block."""

    first: int
    last: int


class GlobalLocalDiarizer(OnFrames):
    """Speakers by clustered attractors of stretches."""

    def __init__(self, size: FeatureSize, spec: GlobalLocalHead) -> None:
        super().__init__(size, spec.encoder)
        self.spec = spec
        self.attractors = Attractors(spec.encoder.width)
        self.embed = nn.Linear(spec.encoder.width, spec.embedding)
        self.stretch_frames = max(1, round(spec.local_seconds * SAMPLE_RATE_HZ / self.activity_hop_samples))

    def loss(self, states: Tensor, num_frames: Tensor, truths: Sequence[Truth], seed: int) -> Tensor:
        """The losses of EEND-EDA of the whole block and of its stretches, and the contrast of embeddings."""
        encoded = self.encoder(states, num_frames)
        activity, existence = attractor_losses(self.attractors, encoded, truths, seed)
        parts, local_truths, blocks = self._cut(encoded, truths)
        local_seed = seed_for(seed, "stretches")
        local, local_existence = attractor_losses(self.attractors, parts, local_truths, local_seed)
        contrast = self._contrast(parts, local_truths, blocks, local_seed)
        weight = self.spec.existence_weight
        return activity + local + weight * (existence + local_existence) + self.spec.contrast_weight * contrast

    def find_speakers(self, states: Tensor, num_frames: Tensor) -> list[BlockOutput]:
        """The clusters of each block: attractors of stretches, joined up to half of the margin."""
        encoded = self.encoder(states, num_frames)
        return [
            self._find(frames[:length]) for frames, length in zip(encoded.frames, encoded.lengths.tolist(), strict=True)
        ]

    def _find(self, frames: Tensor) -> BlockOutput:
        stretches = list(_stretches(len(frames), self.stretch_frames))
        parts = _stack(frames, stretches)
        attractors, logits = self.attractors(parts, self.spec.max_speakers, FOUND_WITH)
        rows, numbers, embeddings = list[tuple[Stretch, Numbers]](), list[int](), list[Numbers]()
        for number, (stretch, row, exists) in enumerate(zip(stretches, attractors, logits, strict=True)):
            kept = row[: count_existing(exists)]
            active = torch.sigmoid(frames[stretch.first : stretch.last] @ kept.T).float().cpu().numpy()
            rows += [(stretch, active[:, column]) for column in range(active.shape[1])]
            numbers += [number] * len(kept)
            embeddings += list(self._embed(kept).float().cpu().numpy())
        if not numbers:
            return BlockOutput(np.zeros((len(frames), 0), np.float32), np.zeros((0, self.spec.embedding), np.float32))
        together = np.stack(embeddings)
        labels = cluster_apart(together.astype(np.float64), numbers, self.spec.margin / 2)
        activities = np.zeros((len(frames), int(labels.max()) + 1), np.float32)
        for (stretch, active), label in zip(rows, labels.tolist(), strict=True):
            activities[stretch.first : stretch.last, label] = active
        means = np.stack([together[labels == label].mean(axis=0) for label in range(activities.shape[1])])
        norms = np.maximum(np.linalg.norm(means, axis=1, keepdims=True), np.float32(1e-12))
        return BlockOutput(activities, (means / norms).astype(np.float32))

    def _embed(self, attractors: Tensor) -> Tensor:
        """Attractors (N, W) to unit vectors (N, E)."""
        return functional.normalize(self.embed(attractors), dim=1)

    def _cut(self, encoded: Encoded, truths: Sequence[Truth]) -> tuple[Encoded, list[Truth], list[int]]:
        """The stretches of all utterances as utterances of their own, who speaks in them, and whose they are."""
        parts, local, blocks = list[Encoded](), list[Truth](), list[int]()
        for number, (frames, length, truth) in enumerate(
            zip(encoded.frames, encoded.lengths.tolist(), truths, strict=True)
        ):
            stretches = list(_stretches(length, self.stretch_frames))
            parts.append(_stack(frames, stretches))
            for it in stretches:
                active = truth.activity[it.first : it.last]
                heard = [column for column in range(active.shape[1]) if active[:, column].any()]
                local.append(Truth(active[:, heard], tuple(truth.speakers[column] for column in heard)))
            blocks += [number] * len(stretches)
        longest = max(it.frames.shape[1] for it in parts)
        frames = torch.cat([functional.pad(it.frames, (0, 0, 0, longest - it.frames.shape[1])) for it in parts])
        return Encoded(frames, torch.cat([it.lengths for it in parts])), local, blocks

    def _contrast(self, parts: Encoded, truths: Sequence[Truth], blocks: Sequence[int], seed: int) -> Tensor:
        """Half the squared distance within a speaker, half the squared lack of distance between two; means over pairs.

        Pairs are of one utterance: names need not mean the same in another.
        """
        attractors, _ = self.attractors(parts, max(len(it.speakers) for it in truths) + 1, seed)
        vectors, speakers, owners = list[Tensor](), list[int](), list[int]()
        for row, frames, length, truth, owner in zip(
            attractors, parts.frames, parts.lengths.tolist(), truths, blocks, strict=True
        ):
            kept = row[: len(truth.speakers)]
            order = find_order(frames[:length] @ kept.T, truth.activity)
            vectors.append(self._embed(kept))
            speakers += [truth.speakers[column] for column in order]
            owners += [owner] * len(order)
        return contrast(torch.cat(vectors), speakers, owners, self.spec.margin)


def contrast(vectors: Tensor, speakers: Sequence[int], owners: Sequence[int], margin: float) -> Tensor:
    """The contrastive loss () of vectors (N, E) within each owner (Hadsell et al. 2006)."""
    left, right = torch.triu_indices(len(vectors), len(vectors), 1, device=vectors.device)
    names, of = (torch.tensor(list(it), device=vectors.device) for it in (speakers, owners))
    within = of[left] == of[right]
    left, right = left[within], right[within]
    squared = (vectors[left] - vectors[right]).square().sum(1)
    same = names[left] == names[right]
    near = squared[same] / 2
    lack = (margin - (squared[~same] + LEAST_SQUARED).sqrt()).clamp(min=0).square() / 2
    return sum((it.mean() for it in (near, lack) if len(it)), start=vectors.sum() * 0)


def _stretches(length: int, size: int) -> Iterator[Stretch]:
    """Consecutive stretches; a rest of less than half joins the one before it."""
    count = max(1, (length + size // 2) // size)
    for number in range(count):
        yield Stretch(number * size, length if number == count - 1 else (number + 1) * size)


def _stack(frames: Tensor, stretches: Sequence[Stretch]) -> Encoded:
    """The stretches of frames (A, W) as utterances."""
    rows = [frames[it.first : it.last] for it in stretches]
    lengths = torch.tensor([len(row) for row in rows], device=frames.device)
    return Encoded(nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths)
