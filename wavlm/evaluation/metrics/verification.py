"""Speaker verification: equal error rate (EER) and minimum detection cost (minDCF).

A trial is accepted where its score is at least a threshold. Trials of one score are accepted together. The points
(false alarm rate, miss rate) of all thresholds are joined by straight lines: the receiver operating characteristic. The
EER is where that line meets "misses = false alarms", by linear interpolation between its two neighbours: what
scikit-learn's `roc_curve` with a linear `interp1d` gives, as SUPERB's reference computes it.

Trials may have weights: how often each counts in a draw of a bootstrap.

Legend: N trials, T thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wavlm.evaluation.metrics.checks import Bools, Floats, finite, require_pairs, undefined


@dataclass(frozen=True)
class ErrorCurve:
    """Error rates at each threshold. The first accepts nothing, the last accepts all trials."""

    misses: Floats  # (T,) share of the targets that are rejected: falls from 1 to 0
    false_alarms: Floats  # (T,) share of the others that are accepted: rises from 0 to 1
    thresholds: Floats  # (T,) falls; the first is infinite

    def eer(self) -> float:
        """The equal error rate, from 0 to 1."""
        difference = self.misses - self.false_alarms  # falls from 1 to -1
        after = int(np.argmax(difference <= 0))
        before = after - 1
        share = difference[before] / (difference[before] - difference[after])
        return float(self.misses[before] + share * (self.misses[after] - self.misses[before]))

    def min_dcf(self, p_target: float, cost_miss: float = 1.0, cost_false_alarm: float = 1.0) -> float:
        """The smallest detection cost of any threshold, by that of a system which ignores its input (NIST, normalised).

        At 1 the scores are of no use. Defined in the evaluation plans of NIST SRE.
        """
        costs = cost_miss * p_target * self.misses + cost_false_alarm * (1 - p_target) * self.false_alarms
        return float(costs.min() / min(cost_miss * p_target, cost_false_alarm * (1 - p_target)))


@dataclass(frozen=True)
class RankedTrials:
    """Trials in the order of falling scores; made once, so that many draws of them are cheap."""

    order: np.ndarray[tuple[int], np.dtype[np.int64]]  # (N,)
    is_target: Bools  # (N,) in that order
    ends: np.ndarray[tuple[int], np.dtype[np.int64]]  # (T - 1,) the last trial of each score
    scores: Floats  # (T - 1,)

    def curve(self, weights: Floats | None = None) -> ErrorCurve:
        """The error curve, where the trials (N,) count as often as their weights say, in the order they were given.

        Raises BadDataError (METRIC_UNDEFINED) where no target or no other trial is left.
        """
        counts = np.ones(len(self.order)) if weights is None else weights[self.order]
        targets, others = (np.cumsum(counts * kind)[self.ends] for kind in (self.is_target, ~self.is_target))
        if not (targets[-1] and others[-1]):
            raise _one_kind(len(self.order), int(self.is_target.sum()))
        return ErrorCurve(
            misses=np.concatenate([[1.0], 1 - targets / targets[-1]]),
            false_alarms=np.concatenate([[0.0], others / others[-1]]),
            thresholds=np.concatenate([[np.inf], self.scores]),
        )


def rank_trials(scores: Sequence[float] | Floats, is_target: Sequence[bool] | Bools) -> RankedTrials:
    """Trials by their scores: a higher score says that the two voices are more alike.

    Raises BadDataError: METRIC_MISFIT, NOT_FINITE, or METRIC_UNDEFINED where there are no targets or nothing else.
    """
    require_pairs("EER", is_target, scores)
    numbers, targets = finite("EER", scores), np.asarray(is_target, dtype=np.bool_)
    if targets.all() or not targets.any():
        raise _one_kind(len(targets), int(targets.sum()))
    order = np.argsort(-numbers, kind="stable").astype(np.int64)
    ranked = numbers[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1).astype(np.int64)
    return RankedTrials(order, targets[order], ends, ranked[ends])


def eer(scores: Sequence[float] | Floats, is_target: Sequence[bool] | Bools) -> float:
    """The equal error rate of trials (N,), from 0 to 1."""
    return rank_trials(scores, is_target).curve().eer()


def _one_kind(num_trials: int, num_targets: int) -> Exception:
    return undefined(
        f"EER: {num_targets} of {num_trials} trials are of one speaker",
        "expected some that are and some that are not",
        "check the list of trials",
    )
