"""A cohort of other voices, and scores that are normalised by it: adaptive score normalisation (AS-norm).

A score says more if we know how alike a recording is to voices that it cannot be of (Matejka et al. 2017). As in
wespeaker's score_norm.py, a voice is the mean of its embeddings, the mean of all embeddings is subtracted before, and
of each recording the nearest voices alone count.

Legend: E recordings, H width of an embedding, C voices of the cohort, N trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.metrics.checks import Floats
from wavlm.evaluation.tasks.trials import Pairs

FEWEST_VOICES = 3
LEAST_DEVIATION = 1e-6  # of cosines: a cohort of copies has none
BLOCK = 4096  # recordings that are compared with the cohort at once, and trials that are scored


@dataclass(frozen=True)
class VoicePrints:
    """Recordings as scores need them."""

    vectors: Floats  # (E, H) of length 1, without the mean
    lengths: Floats  # (E,) of the embeddings before that
    means: Floats  # (E,) mean of the cosines with the nearest voices of the cohort
    deviations: Floats  # (E,) their standard deviation


@dataclass(frozen=True)
class Cohort:
    """Voices to compare with."""

    mean: Floats  # (H,) of all embeddings
    voices: Floats  # (C, H) of length 1, without the mean
    speakers: tuple[str, ...]  # (C,)
    nearest: int  # so many of them count

    def describe(self, embeddings: Floats, speakers: Sequence[str] = ()) -> VoicePrints:
        """Embeddings (E, H) as they come from a head, compared with the cohort.

        speakers (E,): who spoke, where the cohort may know them: nobody is compared with himself.
        """
        centred = embeddings - self.mean
        lengths = np.linalg.norm(centred, axis=1)
        vectors = normalise_lengths(centred)
        number_of = {name: number for number, name in enumerate(self.speakers)}
        own = np.array([number_of.get(name, -1) for name in speakers or [""] * len(vectors)])
        count = min(self.nearest, len(self.speakers) - bool(speakers))  # of all recordings alike
        blocks = [
            self._compare(vectors[begin : begin + BLOCK], own[begin : begin + BLOCK], count)
            for begin in range(0, len(vectors), BLOCK)
        ]
        means, deviations = (np.concatenate(found) for found in zip(*blocks, strict=True))
        return VoicePrints(vectors, lengths, means, deviations)

    def _compare(self, vectors: Floats, own: npt.NDArray[np.int64], count: int) -> tuple[Floats, Floats]:
        cosines = vectors @ self.voices.T  # (E, C)
        known = np.flatnonzero(own >= 0)
        cosines[known, own[known]] = -np.inf
        best = np.partition(cosines, cosines.shape[1] - count, axis=1)[:, cosines.shape[1] - count :]
        return best.mean(axis=1), np.maximum(best.std(axis=1), LEAST_DEVIATION)


def make_cohort(embeddings: Floats, speakers: Sequence[str], nearest: int) -> Cohort:
    """The cohort of training recordings (E, H), of which each speaker is a voice.

    Raises BadDataError (CLASS_SINGLE) for fewer than three speakers: two are left where a recording is of the third.
    """
    names, groups = np.unique(np.array(speakers), return_inverse=True)
    require_voices(len(names))
    mean = embeddings.mean(axis=0)
    sums = np.zeros((len(names), embeddings.shape[1]))
    np.add.at(sums, groups, embeddings)
    voices = sums / np.bincount(groups)[:, None] - mean
    return Cohort(mean, normalise_lengths(voices), tuple(map(str, names)), nearest)


def require_voices(count: int) -> None:
    """Raise BadDataError (CLASS_SINGLE) for too few voices of a cohort."""
    if count < FEWEST_VOICES:
        raise BadDataError(
            Code.CLASS_SINGLE,
            f"the cohort has {count} voices, expected {FEWEST_VOICES} or more; in the evaluation's train part; use "
            "another split, or leave `scoring` out",
        )


def cosines_of(vectors: Floats, pairs: Pairs) -> Floats:
    """The cosine of each trial, of vectors (E, H) of length 1: (N,). Lists have half a million of them."""
    blocks = [slice(begin, begin + BLOCK) for begin in range(0, len(pairs), BLOCK)]
    products = [np.einsum("nh,nh->n", vectors[pairs.left[it]], vectors[pairs.right[it]]) for it in blocks]
    return np.concatenate(products)


def normalise_scores(scores: Floats, prints: VoicePrints, pairs: Pairs) -> Floats:
    """AS-norm: the mean over both sides of how many deviations a score (N,) is above their cohorts' mean."""
    sides = [(scores - prints.means[side]) / prints.deviations[side] for side in (pairs.left, pairs.right)]
    return 0.5 * (sides[0] + sides[1])


def normalise_lengths(vectors: Floats) -> Floats:
    """Vectors (E, H) scaled to length 1."""
    found: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return found
