"""Calibration by quality measures (QMF): short or unusual recordings move a score, and a regression knows how far.

Thirteen numbers of a trial: its score; of durations, of lengths of embeddings and of cohort means the smaller side, the
larger one, their difference and their ratio (Thienpondt et al. 2021; wespeaker, score_calibration.py). A logistic
regression, in which targets and others weigh alike (so it minimises Cllr), makes a log-likelihood ratio of them.

Legend: E recordings, N trials.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavlm.evaluation.metrics.checks import Bools, Floats
from wavlm.evaluation.tasks.cohort import VoicePrints
from wavlm.evaluation.tasks.trials import Pairs

NUM_MEASURES = 13
LEAST_DIVISOR = 0.01  # the ratio of two cohort means would be of any size where one of them is about 0
STRENGTH = 1.0  # of the ridge: trials that are separable have a solution with one alone
MOST_STEPS = 1000


@dataclass(frozen=True)
class Calibration:
    """A regression that was fitted."""

    weights: Floats  # (13,)
    bias: float

    def apply(self, measures: Floats) -> Floats:
        """The log-likelihood ratio of each trial: (N, 13) to (N,)."""
        found: Floats = measures @ self.weights + self.bias
        return found


def measure_quality(scores: Floats, prints: VoicePrints, seconds: Floats, pairs: Pairs) -> Floats:
    """The numbers of each trial, (N, 13). seconds: (E,)"""
    columns = [scores]
    for values in (seconds, prints.lengths, prints.means):
        sides = np.stack([values[pairs.left], values[pairs.right]])
        low, high = sides.min(axis=0), sides.max(axis=0)
        columns += [low, high, high - low, high / np.maximum(low, LEAST_DIVISOR)]
    return np.stack(columns, axis=1)


def fit_calibration(measures: Floats, is_target: Bools) -> Calibration:
    """Fit the regression to trials (N, 13). Each measure has mean 0 and deviation 1 for the ridge."""
    from sklearn.linear_model import LogisticRegression

    mean, deviation = measures.mean(axis=0), measures.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    regression = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=MOST_STEPS, tol=1e-8)
    regression.fit((measures - mean) / deviation, is_target)
    weights = regression.coef_[0] / deviation
    return Calibration(weights, float(regression.intercept_[0] - weights @ mean))
