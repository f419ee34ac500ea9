"""How sure a figure is: Wilson's interval of a proportion, and the bootstrap for any other figure.

The bootstrap draws whole speakers where there are enough of them, as the comparison of two models does
(wavlm/evaluation/paired.py). Figures of pairs of recordings (EER, MTWV) are no functions of sums: there, speakers are
drawn, and a trial counts as often as the speakers (or queries and documents) that it joins; a trial within one speaker
counts as often as that speaker. The same input gives the same interval.

Legend: U utterances, D numbers of an utterance, N trials, K units that are drawn, R draws.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.metrics.checks import Floats, require_pairs, undefined
from wavlm.evaluation.paired import DRAWS, FEWEST_SPEAKERS, Figure, Speaker, blocks_of, draw_interval, sum_draws

Unit = Literal["speakers", "utterances", "trials"]
TRIAL_DRAWS = 1999  # each sorts errors of all trials; the ends of a 95 % interval are then 50 draws from the edge
MOST_UNDEFINED = 0.05  # of the draws: those that have no target, for example
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A figure with the interval that it lies in at a confidence."""

    value: float
    low: float
    high: float
    confidence: float
    method: Literal["wilson", "bootstrap"]
    num_units: int
    unit: Unit  # what is taken as independent: of Wilson trials, of the bootstrap what was drawn


def wilson_interval(num_successes: int, num_trials: int, confidence: float = CONFIDENCE) -> Interval:
    """The interval of a proportion: Wilson 1927, JASA 22, 209-212. Trials are taken as independent.

    Raises BadDataError (METRIC_UNDEFINED) without trials.
    """
    if not 0 <= num_successes <= num_trials:
        raise ValueError(f"expected 0 <= successes <= trials; found {num_successes} of {num_trials}")
    if not num_trials:
        raise undefined("interval: no trial", "found 0, expected at least 1", "give the recordings of a test")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = num_successes / num_trials
    scale = 1 + z**2 / num_trials
    centre = (share + z**2 / (2 * num_trials)) / scale
    half = z / scale * sqrt(share * (1 - share) / num_trials + z**2 / (4 * num_trials**2))
    low = 0.0 if num_successes == 0 else centre - half  # exactly, where rounding would leave 1e-18
    high = 1.0 if num_successes == num_trials else centre + half
    return Interval(share, low, high, confidence, "wilson", num_trials, "trials")


def interval_of_sums(
    numbers: Floats, speakers: Sequence[Speaker], figure: Figure, *, confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """The interval of a figure of numbers per utterance (U, D) that add up: `figure` takes sums (R, D) to values (R,).

    `speakers` (U,): with at least 20 of them, whole speakers are drawn, otherwise utterances. An utterance of an
    unknown speaker ("") is a unit of its own. One of several speakers counts as often as the product of their draws.
    Raises BadDataError (METRIC_UNDEFINED) with a single unit.
    """
    require_pairs("interval", numbers, speakers)
    blocks = blocks_of(speakers)
    sums = sum_draws(numbers, blocks)
    _require_several(blocks.num, blocks.unit)
    low, high = _draw(blocks.num, lambda times: figure(sums(times)), confidence, DRAWS, seed)
    _require_ends(low, high, f"{blocks.num} {blocks.unit}")
    value = float(figure(numbers.sum(axis=0, keepdims=True))[0])
    return Interval(value, low, high, confidence, "bootstrap", blocks.num, blocks.unit)


@dataclass(frozen=True)
class Sides:
    """What trials join: the recordings of both sides, and their speakers ("" where unknown). All are (N,)."""

    keys: tuple[Sequence[str], Sequence[str]]
    speakers: tuple[Sequence[str], Sequence[str]]


def interval_of_trials(
    sides: Sides,
    figure: Callable[[Floats], float],
    *,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    num_draws: int = TRIAL_DRAWS,
) -> Interval:
    """The interval of a figure of trials: `figure` takes how often each trial counts (N,) to a value.

    With at least 20 known speakers on both sides together, and none unknown, speakers are drawn, otherwise recordings.
    Raises BadDataError (METRIC_UNDEFINED) with a single unit, or where the figure has no value in too many draws.
    """
    units, unit = _sides_by_unit(sides)
    num_units = int(units.max()) + 1
    _require_several(num_units, unit)
    left, right = units

    is_within = left == right

    def values_of(times: Floats) -> Floats:
        """One draw after the other: lists of trials have millions of lines."""
        return np.array([_value_or_nan(figure, row[left] * np.where(is_within, 1.0, row[right])) for row in times])

    low, high = _draw(num_units, values_of, confidence, num_draws, seed)
    _require_ends(low, high, f"{num_units} {unit}")
    return Interval(float(figure(np.ones(left.size))), low, high, confidence, "bootstrap", num_units, unit)


def _sides_by_unit(sides: Sides) -> tuple[npt.NDArray[np.int64], Unit]:
    """The numbers of the units on both sides of each trial (2, N), and what they are."""
    for side in (*sides.keys, *sides.speakers):
        require_pairs("interval", sides.keys[0], side)
    known = [name for side in sides.speakers for name in side]
    use_speakers = all(known) and len(set(known)) >= FEWEST_SPEAKERS
    names = known if use_speakers else [name for side in sides.keys for name in side]
    numbers = np.unique(names, return_inverse=True)[1].reshape(2, -1).astype(np.int64)
    return numbers, "speakers" if use_speakers else "utterances"


def _value_or_nan(figure: Callable[[Floats], float], weights: Floats) -> float:
    try:
        return figure(weights)
    except BadDataError as error:
        if error.code != Code.METRIC_UNDEFINED:
            raise
        return float("nan")


def _draw(num_units: int, values_of: Figure, confidence: float, num_draws: int, seed: int) -> tuple[float, float]:
    """The ends of the interval; NaN, which the caller refuses, where too many draws have no value."""
    from scipy.stats import DegenerateDataWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # it speaks of another method
        return draw_interval(num_units, values_of, confidence, num_draws, seed, MOST_UNDEFINED)


def _require_ends(low: float, high: float, units: str) -> None:
    if not np.isfinite([low, high]).all():
        raise undefined(
            f"interval: too many draws of {units} have no value",
            f"expected at most {MOST_UNDEFINED:.0%}: without a target, or with empty references alone, there is none",
            "score more recordings",
        )


def _require_several(num_units: int, unit: str) -> None:
    if num_units < 2:
        raise undefined(f"interval: {num_units} of {unit}", "expected at least 2", "score more recordings")
