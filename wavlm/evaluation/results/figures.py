"""Make figures of metrics and their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.metrics.checks import Floats
from wavlm.evaluation.metrics.intervals import (
    Interval,
    Sides,
    interval_of_sums,
    interval_of_trials,
    wilson_interval,
)
from wavlm.evaluation.metrics.words import EditCounts
from wavlm.evaluation.results.facts import ConfidenceInterval, Figure

METHODS = {"wilson": "Wilson", "bootstrap": "bootstrap"}


def figure_of(
    name: str, value: float, interval: Interval | None, *, is_lower_better: bool = False, note: str = ""
) -> Figure:
    """A figure, with its interval in the form of facts."""
    spread = interval and ConfidenceInterval(
        low=interval.low,
        high=interval.high,
        confidence=interval.confidence,
        method=f"{METHODS[interval.method]} over {interval.num_units} {interval.unit}",
    )
    return Figure(name=name, value=value, is_lower_better=is_lower_better, interval=spread, note=note)


def share_of(name: str, num_right: int, num_all: int) -> Figure:
    """A proportion, with Wilson's interval."""
    return figure_of(name, num_right / num_all, wilson_interval(num_right, num_all))


def rate_of_edits(name: str, edits: EditCounts, speakers: Sequence[str] | None) -> Figure:
    """An error rate of all utterances together, with the bootstrap over speakers or utterances.

    speakers: None leaves the interval out.
    """
    sums = edits.sums
    # A draw of utterances whose references are all empty has no rate.
    interval = interval_of_sums(sums, speakers, _rate) if speakers and len(sums) > 1 else None
    return figure_of(name, edits.rate, interval, is_lower_better=True)


def figure_of_trials(
    name: str,
    value: float,
    value_of: Callable[[Floats], float],
    sides: Sides | None,
    *,
    is_lower_better: bool = False,
    note: str = "",
) -> Figure:
    """A figure of pairs, with the bootstrap over what they join; a note says why where there is no interval.

    `value_of` takes how often each trial counts. sides: None leaves the interval out.
    """
    if sides is None:
        return figure_of(name, value, None, is_lower_better=is_lower_better, note=note)
    try:
        interval = interval_of_trials(sides, value_of)
    except BadDataError as error:
        if error.code != Code.METRIC_UNDEFINED:
            raise
        interval = None
        note = f"{note}; no interval: too few recordings or speakers to draw from"
    return figure_of(name, value, interval, is_lower_better=is_lower_better, note=note)


def _rate(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: npt.NDArray[np.float64] = sums[:, 0] / sums[:, 1]
    return found
