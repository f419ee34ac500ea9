"""EER and minDCF of scored trials, as figures with intervals.

Legend: E recordings, N trials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from wavlm.evaluation.examples import Example
from wavlm.evaluation.metrics.checks import Floats
from wavlm.evaluation.metrics.intervals import Sides
from wavlm.evaluation.metrics.verification import ErrorCurve, RankedTrials, rank_trials
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.results.figures import figure_of_trials
from wavlm.evaluation.tasks.trials import Pairs


@dataclass(frozen=True)
class ScoredTrials:
    """Trials with a score each."""

    name: str  # of their figures, behind `eer` and `min_dcf`
    note: str  # how the scores were made; empty: as cosines
    trials: str  # their list; empty: they were made by rule
    pairs: Pairs
    scores: Floats  # (N,)


def describe_trials(
    examples: Sequence[Example], scored: Sequence[ScoredTrials], p_target: float, *, with_intervals: bool
) -> tuple[Figure, ...]:
    """EER and minDCF of each, in their order. examples: (E,)"""
    return tuple(
        figure for one in scored for figure in _describe(examples, one, p_target, with_intervals=with_intervals)
    )


def _describe(
    examples: Sequence[Example], scored: ScoredTrials, p_target: float, *, with_intervals: bool
) -> Iterator[Figure]:
    pairs = scored.pairs
    ranked = rank_trials(scored.scores, pairs.is_target)
    sides = sides_of(examples, pairs) if with_intervals else None
    kind = f"of {scored.trials}" if scored.trials else "made by rule"
    note = f"{len(pairs):,} trials {kind}, {int(pairs.is_target.sum()):,} of one speaker"
    cost = f"P(target) {p_target:g}, costs 1 and 1"
    also = f"; {scored.note}" if scored.note else ""
    yield _figure(f"eer{scored.name}", ranked, lambda curve: curve.eer(), sides, note + also)
    yield _figure(f"min_dcf{scored.name}", ranked, lambda curve: curve.min_dcf(p_target), sides, cost + also)


def sides_of(examples: Sequence[Example], pairs: Pairs) -> Sides:
    """What trials join: recordings and their speakers."""
    left, right = ([examples[number] for number in side] for side in (pairs.left, pairs.right))
    return Sides(
        ([item.key for item in left], [item.key for item in right]),
        ([item.speaker for item in left], [item.speaker for item in right]),
    )


def _figure(
    name: str, ranked: RankedTrials, value_of: Callable[[ErrorCurve], float], sides: Sides | None, note: str
) -> Figure:
    def value(weights: Floats) -> float:
        return value_of(ranked.curve(weights))

    return figure_of_trials(name, value_of(ranked.curve()), value, sides, is_lower_better=True, note=note)
