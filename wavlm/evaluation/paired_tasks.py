"""Whether one model is better than another one at a task: the same test examples, the same seeds, paired.

Both figures are computed anew from the predictions that the evaluations kept, and compared with what was reported:
where they differ, nothing is said. A figure over several seeds is their mean.

Legend: U examples, D numbers of each, S seeds, N trials, R draws.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from pydantic import JsonValue

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.examples import Example, Take, speaker_of
from wavlm.evaluation.facts import Gain
from wavlm.evaluation.metrics.intervals import interval_of_trials
from wavlm.evaluation.outputs import PREDICTIONS
from wavlm.evaluation.paired import find_gain
from wavlm.evaluation.paired_sums import COUNTS, count_sums
from wavlm.evaluation.paired_trials import OF_CURVE, OF_SEARCH, judge_trials
from wavlm.evaluation.results.facts import EvaluationFacts, Figure
from wavlm.specs.tasks import TaskSpec
from wavlm.storage.seals import check_sealed

Floats = npt.NDArray[np.float64]
Side = tuple[EvaluationFacts, Path]

FEWEST_EXAMPLES = 5  # of which an interval says something
CLOSE = 1e-6
COMPARED = (*COUNTS, *OF_CURVE, *OF_SEARCH)


@dataclass(frozen=True)
class Predicted:
    """What a model predicted for each test example, in the order of folds and keys."""

    examples: tuple[Example, ...]
    folds: tuple[str, ...]
    predictions: tuple[tuple[JsonValue, ...], ...]  # per seed

    @property
    def places(self) -> list[tuple[str, str]]:
        return [(fold, item.key) for fold, item in zip(self.folds, self.examples, strict=True)]


def find_task_gain(metric: str, ours: Side, theirs: Side, name: str, task: TaskSpec, confidence: float) -> Gain | str:
    """The gain of a model by a figure of an evaluation; a text that says why there is none.

    ours, theirs: results of the same evaluation under the same conditions, and their folders. name: of the figure.
    """
    figures = [item for facts, _ in (ours, theirs) for item in facts.figures if item.name == name]
    sides = [_read(folder) for _, folder in (ours, theirs)] if len(figures) == 2 and name in COMPARED else []
    if obstacle := next(_find_obstacles(name, figures, sides), None):
        return f"{metric} is no comparison: {obstacle}"
    compare = _compare_sums if name in COUNTS else _compare_trials
    try:
        gain = compare(metric, name, sides, task, confidence, is_lower_better=figures[0].is_lower_better)
    except BadDataError as error:
        if error.code != Code.METRIC_UNDEFINED:
            raise
        return f"{metric} is no comparison: {error}"
    for figure, found in zip(figures, (gain.ours, gain.theirs), strict=True):
        if abs(found - figure.value) > CLOSE:
            return f"{metric} is no comparison: predictions do not give {name} {figure.value:.6g} again"
    return gain


def _find_obstacles(name: str, figures: Sequence[Figure], sides: Sequence[Predicted]) -> Iterator[str]:
    """Why two evaluations cannot be compared in pairs."""
    if len(figures) != 2:
        yield f"not both evaluations have one figure {name}"
    elif not sides:
        yield f"{name} is not compared in pairs; the figures that are: {', '.join(COMPARED)}"
    elif sides[0].places != sides[1].places or len(sides[0].predictions) != len(sides[1].predictions):
        yield "their test examples differ"
    elif len({item.key for item in sides[0].examples}) < FEWEST_EXAMPLES:
        yield f"there are fewer than {FEWEST_EXAMPLES} test examples"


def _compare_sums(
    metric: str, name: str, sides: Sequence[Predicted], task: TaskSpec, confidence: float, *, is_lower_better: bool
) -> Gain:
    examples, num_seeds = sides[0].examples, len(sides[0].predictions)
    counted = [
        [
            count_sums(name, [(item.target, one) for item, one in zip(side.examples, seed, strict=True)], task)
            for seed in side.predictions
        ]
        for side in sides
    ]
    figure = counted[0][0][1]

    def mean_over_seeds(sums: Floats) -> Floats:
        """Sums of all seeds (R, S D) to the mean of their figures (R,)."""
        found: Floats = np.mean([figure(part) for part in np.split(sums, num_seeds, axis=1)], axis=0)
        return found

    numbers = [np.concatenate([sums for sums, _ in seeds], axis=1) for seeds in counted]
    return find_gain(
        metric,
        numbers[0],
        numbers[1],
        [speaker_of(item) for item in examples],
        mean_over_seeds,
        is_lower_better=is_lower_better,
        confidence=confidence,
    )


def _compare_trials(
    metric: str, name: str, sides: Sequence[Predicted], task: TaskSpec, confidence: float, *, is_lower_better: bool
) -> Gain:
    judged = [[judge_trials(name, side.examples, seed, task) for seed in side.predictions] for side in sides]
    joined = judged[0][0][0]
    sign = -1.0 if is_lower_better else 1.0

    def gain_of(weights: Floats) -> float:
        means = [float(np.mean([value_of(weights) for _, value_of in seeds])) for seeds in judged]
        return sign * (means[0] - means[1])

    found = interval_of_trials(joined, gain_of, confidence=confidence)
    all_once = np.ones(len(joined.keys[0]))
    means = [float(np.mean([value_of(all_once) for _, value_of in seeds])) for seeds in judged]
    return Gain(
        metric=metric,
        ours=means[0],
        theirs=means[1],
        gain=found.value,
        low=found.low,
        high=found.high,
        confidence=confidence,
        num_utterances=len(sides[0].examples),
        num_blocks=found.num_units,
        unit="speakers" if found.unit == "speakers" else "utterances",
    )


def _read(folder: Path) -> Predicted:
    """The predictions of an evaluation. Raises BadDataError if they are not those that it sealed."""
    check_sealed(folder / PREDICTIONS)
    rows = pq.read_table(folder / PREDICTIONS).to_pylist()
    of_seed = {(row["seed"], row["fold"], row["key"]): row for row in rows}
    places = sorted({(row["fold"], row["key"]) for row in rows})
    seeds = sorted({row["seed"] for row in rows})
    first = [of_seed[seeds[0], *place] for place in places]
    return Predicted(
        tuple(
            Example(row["key"], row["speaker"], "", 0, Take(0, number), json.loads(row["target"]))
            for number, row in enumerate(first)
        ),
        tuple(row["fold"] for row in first),
        tuple(tuple(json.loads(of_seed[seed, *place]["prediction"]) for place in places) for seed in seeds),
    )
