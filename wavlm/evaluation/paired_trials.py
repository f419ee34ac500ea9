"""Figures of trials: what a model's scores give, as a function of how often each trial counts.

Legend: E examples, N trials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from pydantic import JsonValue

from wavlm.evaluation.examples import Example
from wavlm.evaluation.metrics.checks import Floats
from wavlm.evaluation.metrics.detection import search_trials
from wavlm.evaluation.metrics.intervals import Sides
from wavlm.evaluation.metrics.verification import ErrorCurve, rank_trials
from wavlm.evaluation.tasks.back_end import embeddings_of, score_cosines
from wavlm.evaluation.tasks.query import search_pairs
from wavlm.evaluation.tasks.trial_figures import sides_of
from wavlm.evaluation.tasks.trials import find_trials
from wavlm.specs.pairs import QueryByExample
from wavlm.specs.speakers import SpeakerVerification
from wavlm.specs.tasks import TaskSpec

Value = Callable[[Floats], float]  # weights of the trials (N,) to the figure
OF_CURVE: Mapping[str, Callable[[ErrorCurve, SpeakerVerification], float]] = {
    "eer": lambda curve, task: curve.eer(),  # noqa: ARG005 - of any trials
    "min_dcf": lambda curve, task: curve.min_dcf(task.p_target),
}
OF_SEARCH = ("mtwv", "atwv")


def judge_trials(
    name: str, examples: Sequence[Example], predictions: Sequence[JsonValue], task: TaskSpec
) -> tuple[Sides, Value]:
    """What the trials join, and their figure. name: one of `OF_CURVE` or `OF_SEARCH`."""
    if isinstance(task, SpeakerVerification):
        return _verify(name, examples, predictions, task)
    assert isinstance(task, QueryByExample)  # noqa: S101 - no other task has these figures
    return _search(name, examples, predictions, task)


def _verify(
    name: str, examples: Sequence[Example], predictions: Sequence[JsonValue], task: SpeakerVerification
) -> tuple[Sides, Value]:
    """Of the first list, by cosine."""
    trials = find_trials(examples, task.lists, task.max_trials)
    first = score_cosines(embeddings_of(predictions), trials)[0]
    ranked = rank_trials(first.scores, first.pairs.is_target)
    return sides_of(examples, first.pairs), lambda weights: OF_CURVE[name](ranked.curve(weights), task)


def _search(
    name: str, examples: Sequence[Example], predictions: Sequence[JsonValue], task: QueryByExample
) -> tuple[Sides, Value]:
    """Predictions do not say who speaks in a document, so that queries and documents are drawn, and no speakers."""
    names, keys, scores, is_target = search_pairs(examples, predictions)
    trials, found = search_trials(names, scores, is_target), np.array(scores) > task.decision_deviations
    unknown = [""] * len(names)

    def value_of(weights: Floats) -> float:
        return trials.mtwv(weights=weights).value if name == "mtwv" else trials.twv(found, weights=weights)

    return Sides((names, keys), (unknown, unknown)), value_of
