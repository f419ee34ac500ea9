"""VBx: a hidden Markov model of speakers over windows, by variational Bayes (Landini et al. 2022).

Each speaker is a Gaussian with the covariance between speakers of a PLDA as prior. The next window has the same speaker
with the probability `loop`. Speakers that explain nothing lose their weight, so more of them are given than there are.
Numbers in brackets are equations of the paper.

Legend: T windows, K dimensions, S speakers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from wavlm.evaluation.heads.apart import Integers
from wavlm.evaluation.metrics.checks import Floats

TINY = 1e-8  # keeps logarithms finite, as in the authors' code


@dataclass(frozen=True)
class VbxSettings:
    """The authors' values for CALLHOME (BUTSpeechFIT/VBx, CALLHOME_run.sh, vbhmm.py)."""

    evidence: float = 0.4  # Fa: how much a window counts, since neighbours overlap and are alike
    regularisation: float = 17.0  # Fb: higher leaves fewer speakers
    loop: float = 0.4
    smoothing: float = 7.0  # how sure the labels are that it begins with
    max_rounds: int = 40
    least_gain: float = 1e-6


@dataclass(frozen=True, eq=False)
class VbxResult:
    """What is left after the last round."""

    chances: Floats  # (T, S): of each speaker in each window
    weights: Floats  # (S,): near 0 for speakers that are not needed
    bounds: tuple[float, ...]  # the lower bound of the log likelihood after each round (25)

    @property
    def labels(self) -> Integers:
        return self.labels_of(None)

    def labels_of(self, most: int | None) -> Integers:
        """The speaker of each window (T,), among the so many with the largest weights; None: among all."""
        kept = np.sort(np.argsort(-self.weights, kind="stable")[:most])
        found: Integers = kept[self.chances[:, kept].argmax(axis=1)]
        return found


def run_vbx(projected: Floats, between: Floats, first: Integers, settings: VbxSettings | None = None) -> VbxResult:
    """Refine labels (T,) of embeddings that a PLDA has projected, (T, K), with its variances between speakers (K,)."""
    chosen = VbxSettings() if settings is None else settings
    chances = softmax(chosen.smoothing * np.eye(int(first.max()) + 1)[first], axis=1)
    weights = np.full(chances.shape[1], 1 / chances.shape[1])
    scaled = projected * np.sqrt(between)  # rho (18)
    alone = -0.5 * ((projected**2).sum(axis=1, keepdims=True) + projected.shape[1] * np.log(2 * np.pi))  # G in (23)
    ratio = chosen.evidence / chosen.regularisation
    bounds: list[float] = []
    for _ in range(chosen.max_rounds):
        precision = 1 / (1 + ratio * chances.sum(axis=0)[:, None] * between)  # (17), inverse, (S, K)
        means = ratio * precision * (chances.T @ scaled)  # (16)
        fits = chosen.evidence * (scaled @ means.T - 0.5 * (precision + means**2) @ between + alone)  # (23), (T, S)
        chances, weights, likelihood = _walk(fits, weights, chosen.loop)
        prior = 0.5 * float((np.log(precision) - precision - means**2 + 1).sum())
        bounds.append(likelihood + chosen.regularisation * prior)  # (25)
        if len(bounds) > 1 and bounds[-1] - bounds[-2] < chosen.least_gain:
            break
    return VbxResult(chances, weights, tuple(bounds))


def _walk(fits: Floats, weights: Floats, loop: float) -> tuple[Floats, Floats, float]:
    """Forwards and backwards through the windows: chances (19), new weights (24), log likelihood (22).

    A speaker is followed by the same with the probability `loop`, else by any by its weight (1). So a step is a product
    with a diagonal and a sum: its time grows with S, where a matrix of all transitions needs S x S. Rows are scaled to
    a sum of 1 (Rabiner 1989, section V.A).
    """
    best = fits.max(axis=1, keepdims=True)
    likely = np.exp(fits - best)  # (T, S), 1 for the speaker that fits best: no row is 0 in all
    entering = (1 - loop) * weights + TINY
    ahead, behind, scales = np.empty_like(fits), np.ones_like(fits), np.empty((len(fits), 1))
    row = likely[0] * (weights + TINY)
    for window in range(len(fits)):
        if window:
            row = likely[window] * (loop * ahead[window - 1] + entering)  # (20)
        scales[window] = row.sum()
        ahead[window] = row / scales[window]
    likely /= scales
    for window in range(len(fits) - 2, -1, -1):
        seen = likely[window + 1] * behind[window + 1]
        behind[window] = loop * seen + entering @ seen  # (21)
    chances = ahead * behind
    entered = (likely[1:] * behind[1:]).sum(axis=0)
    found = chances[0] + (1 - loop) * weights * entered
    return chances, found / found.sum(), float(np.log(scales).sum() + best.sum())
