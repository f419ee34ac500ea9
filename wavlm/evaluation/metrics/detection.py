"""Query-by-example search: term weighted value (TWV), its maximum and its value at a given threshold.

As QUESST 2014 counts it (Anguera et al. 2014, MediaEval): a trial is a query and a whole document. A query's miss rate
is over the documents that contain it, its false alarm rate over those that do not, and every query counts the same:

    TWV(threshold) = 1 - mean over queries of (miss rate + beta * false alarm rate)
    beta = (cost_false_alarm / cost_miss) * (1 - p_target) / p_target

QUESST 2014 has p_target 0.0008, cost_miss 100 and cost_false_alarm 1: beta 12.49. Its scoring tool takes the same as
one number, an effective prior of 0.0741289. Queries that no document contains are left out, as that tool does; so are
queries that all documents contain. MTWV is the maximum over one threshold for all queries; 0 is reached by finding
nothing, so MTWV is never negative. ATWV is the value of the decisions that were made.

Trials may have weights: how often each counts in a draw of a bootstrap.

Legend: N trials, Q queries, T thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.evaluation.metrics.checks import Bools, Floats, finite, require_pairs, undefined

P_TARGET, COST_MISS, COST_FALSE_ALARM = 0.0008, 100.0, 1.0  # of QUESST 2014


def beta_of(p_target: float, cost_miss: float, cost_false_alarm: float) -> float:
    """What a false alarm rate weighs against a miss rate."""
    return cost_false_alarm / cost_miss * (1 - p_target) / p_target


BETA = beta_of(P_TARGET, COST_MISS, COST_FALSE_ALARM)  # 12.49


@dataclass(frozen=True)
class MaximumValue:
    """MTWV, and the lowest score that counts as a detection there; infinite where finding nothing is best."""

    value: float
    threshold: float


@dataclass(frozen=True)
class SearchTrials:
    """Scored pairs of a query and a document, in the order of falling scores; made once for many draws of them."""

    order: npt.NDArray[np.int64]  # (N,) where each was given
    queries: npt.NDArray[np.int64]  # (N,) the number of its query
    scores: Floats  # (N,)
    is_target: Bools  # (N,) whether the document contains the query

    def mtwv(self, beta: float = BETA, weights: Floats | None = None) -> MaximumValue:
        """The maximum over all thresholds. `weights` (N,): how often each trial counts, in the order they came in."""
        ends = np.append(np.flatnonzero(np.diff(self.scores)), len(self.scores) - 1)  # of one score: found together
        values = np.cumsum(self._values(beta, weights))[ends]
        best = int(values.argmax())
        return MaximumValue(float(values[best]), float(self.scores[ends[best]])) if values[best] > 0 else NOTHING_FOUND

    def twv(self, found: Sequence[bool] | Bools, beta: float = BETA, weights: Floats | None = None) -> float:
        """The value of given decisions (N,), in the order the trials were given: ATWV. `weights` as for `mtwv`."""
        require_pairs("TWV", self.scores, found)
        return float(self._values(beta, weights)[np.asarray(found, dtype=np.bool_)[self.order]].sum())

    def _values(self, beta: float, weights: Floats | None) -> Floats:
        """What finding each trial adds to TWV (N,): TWV is 0 where nothing is found."""
        counts = np.ones(len(self.scores)) if weights is None else weights[self.order]
        targets, others = (
            np.bincount(self.queries, counts * kind) for kind in (self.is_target, ~self.is_target)
        )  # (Q,)
        usable = (targets > 0) & (others > 0)
        if not usable.any():
            raise undefined(
                f"TWV: none of {len(targets)} queries has both documents that contain it and documents that do not",
                f"found {int(self.is_target.sum())} trials with the query among {len(self.scores)}",
                "check the list of trials",
            )
        share = usable / usable.sum()
        hit = np.divide(share, targets, out=np.zeros(len(targets)), where=usable)[self.queries]
        alarm = np.divide(-beta * share, others, out=np.zeros(len(targets)), where=usable)[self.queries]
        values: Floats = counts * np.where(self.is_target, hit, alarm)
        return values


NOTHING_FOUND = MaximumValue(0.0, float("inf"))


def search_trials(
    queries: Sequence[str], scores: Sequence[float] | Floats, is_target: Sequence[bool] | Bools
) -> SearchTrials:
    """Trials (N,) by the names of their queries. A pair without a score needs a low one: QUESST has -10.

    Raises BadDataError: METRIC_MISFIT or NOT_FINITE.
    """
    require_pairs("TWV", queries, scores)
    require_pairs("TWV", queries, is_target)
    numbers = np.unique(list(queries), return_inverse=True)[1].astype(np.int64)
    values, targets = finite("TWV", scores), np.asarray(is_target, dtype=np.bool_)
    order = np.argsort(-values, kind="stable").astype(np.int64)
    return SearchTrials(order, numbers[order], values[order], targets[order])
