"""PLDA with two covariances: how likely it is that two embeddings are of one speaker.

Embeddings are centred and brought to length 1, centred again, and projected to where speakers differ most compared with
the recordings of one speaker (LDA). There the covariance within speakers is the identity, and that between speakers is
diagonal, as VBx assumes (Landini et al. 2022, section 2; Ioffe 2006).

Legend: N embeddings, D channels, K dimensions that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.metrics.checks import Floats

FLOOR = 1e-3  # of the mean variance within speakers, added to each direction: embeddings may not span all of them
LEAST_BETWEEN = 1e-6  # a direction in which speakers do not differ is left out
SHORTEST = 1e-12  # an embedding that is exactly the mean has no direction


@dataclass(frozen=True, eq=False)
class Plda:
    """A fitted model."""

    mean: Floats  # (D,), of embeddings
    centre: Floats  # (D,), of centred embeddings of length 1
    projection: Floats  # (D, K)
    between: Floats  # (K,): variances between speakers, those within are 1

    def project(self, embeddings: Floats) -> Floats:
        """(N, D) to (N, K)"""
        found: Floats = (to_unit_length(embeddings - self.mean) - self.centre) @ self.projection
        return found

    def ratios(self, left: Floats, right: Floats) -> Floats:
        """Log likelihood ratios of one speaker against two, of projected embeddings: (N, K), (M, K) to (N, M).

        With one speaker the two have the covariance `between` in each dimension, with two they have none.
        """
        between = self.between
        both = 2 * between + 1  # the determinant of [[b + 1, b], [b, b + 1]]
        squares = 0.5 / (between + 1) - 0.5 * (between + 1) / both  # (K,)
        constant = float((np.log(between + 1) - 0.5 * np.log(both)).sum())
        products = (left * (between / both)) @ right.T
        found: Floats = constant + products + (left**2 @ squares)[:, None] + (right**2 @ squares)[None]
        return found


def fit_plda(embeddings: Floats, speakers: Sequence[str], num_dimensions: int = 128) -> Plda:
    """A PLDA of embeddings (N, D) of known speakers.

    Raises BadDataError (CLASS_SINGLE) for fewer than two speakers, or where none has two recordings.
    """
    names, numbers, counts = np.unique(np.array(speakers), return_inverse=True, return_counts=True)
    if len(names) < 2 or counts.max() < 2:
        raise BadDataError(
            Code.CLASS_SINGLE,
            f"{len(embeddings)} embeddings of {len(names)} speakers, expected two speakers or more, and two or more "
            "recordings of some; in the recordings that PLDA is fitted on; add recordings",
        )
    mean = embeddings.mean(axis=0)
    unit = to_unit_length(embeddings.astype(np.float64) - mean)
    centre = unit.mean(axis=0)
    unit = unit - centre
    means = np.stack([unit[numbers == number].mean(axis=0) for number in range(len(names))])  # (speakers, D)
    rest = unit - means[numbers]
    within = rest.T @ rest / (len(unit) - len(names))
    # A mean of n recordings varies by `within` / n around its speaker.
    between = np.cov(means.T, bias=True).reshape(within.shape) - within * float(np.mean(1 / counts))
    floor = FLOOR * float(np.trace(within)) / len(within) + SHORTEST
    variances, directions = eigh(between, within + floor * np.eye(len(within)))
    kept = np.argsort(-variances)[: min(num_dimensions, len(names) - 1)]
    kept = kept[variances[kept] > LEAST_BETWEEN]
    if not kept.size:
        raise BadDataError(
            Code.CLASS_SINGLE,
            f"the {len(names)} speakers differ no more than recordings of one of them; in the recordings that PLDA is "
            "fitted on; train the system longer, or add recordings",
        )
    return Plda(mean, centre, directions[:, kept], variances[kept])


def to_unit_length(vectors: Floats) -> Floats:
    """(N, D), each row divided by its length."""
    found: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), SHORTEST)
    return found
