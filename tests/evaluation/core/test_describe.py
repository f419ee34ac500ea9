"""What results say of themselves: speakers that were trained on, seeds that differ, parts that tell nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydantic import JsonValue
from sklearn.metrics import balanced_accuracy_score
from torch import nn

from wavlm.errors import BadDataError
from wavlm.evaluation import describe
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.fit.search import Searched
from wavlm.evaluation.results.facts import EvaluationFacts
from wavlm.evaluation.splits import Split
from wavlm.evaluation.tasks.classification import Classifier
from wavlm.specs.evaluation import EvaluationSpec
from wavlm.specs.heads import PooledLinearHead
from wavlm.specs.splits import ByPart
from wavlm.specs.yaml import read_evaluation

EVALUATIONS = Path(__file__).parents[3] / "data_specs" / "evaluations"
CLASSES = ("no", "yes")
HEAD = PooledLinearHead(type="pooled_linear")


def spec_of(task: str) -> EvaluationSpec:
    """A shipped evaluation with the publisher's parts."""
    parts = ByPart(type="parts", train=("train",), dev=("dev",), test=("test",))
    return read_evaluation(EVALUATIONS / f"{task}-kajongg.yaml").model_copy(update={"split": parts})


def examples_of(speakers: Sequence[str], classes: Sequence[str], part: str) -> list[Example]:
    return [
        Example(f"{part}{number}", speaker, part, 16_000, Take(0, number), {"class": name})
        for number, (speaker, name) in enumerate(zip(speakers, classes, strict=True))
    ]


def described(
    train: Sequence[str],
    test: Sequence[str],
    answers: Sequence[Sequence[str]],
    classes: Sequence[str] = ("no", "yes", "yes", "no"),
    task: str = "ks",
) -> EvaluationFacts:
    """answers: of each seed."""
    split = Split(
        "", *(examples_of(who, classes, part) for who, part in ((train, "train"), ("wxyz", "dev"), (test, "test")))
    )
    heads = tuple(nn.Linear(1, 1) for _ in answers)
    searched = Searched(1e-3, heads, (), is_at_edge=False)
    found: tuple[list[JsonValue], ...] = tuple([{"class": one} for one in seed] for seed in answers)
    trainee = Classifier({"class": CLASSES}, HEAD)
    return describe.describe_results(
        spec_of(task), "made", [describe.Tested(split, searched, trainee, found, np.ones(1))]
    )


def test_speakers_of_the_test_part_that_were_trained_on_are_counted() -> None:
    right = [["no", "yes", "yes", "no"]]
    assert described("abcd", "efgh", right).notes == ()
    (note,) = described("abcd", "acgh", right).notes
    assert note.startswith("2 of 4 speakers of the test part are in the train part, too")
    assert described("abcd", "abcd", right, task="sid").notes == ()  # speakers are what it tells apart
    assert described(["", "", "", ""], ["", "", "", ""], right).notes == ()  # nobody is known


def test_seeds_that_differ_are_shown_and_the_interval_holds_their_mean() -> None:
    right, wrong = ["no", "yes", "yes", "no"], ["yes", "no", "no", "yes"]
    alone = [described("abcd", "efgh", [seed]).figures[0] for seed in (right, wrong)]
    both = described("abcd", "efgh", [right, wrong]).figures[0]
    assert both.value == 0.5
    assert both.interval is not None
    ends = [(one.interval.low, one.interval.high) for one in alone if one.interval]
    assert (both.interval.low, both.interval.high) == tuple(np.mean(ends, axis=0))
    assert both.interval.low < 0.5 < both.interval.high
    assert both.note == "mean of 2 seeds, from 0 to 1"
    assert alone[0].note == ""


def test_the_mean_of_recalls_stands_beside_the_accuracy() -> None:
    wanted, found = ["no", "no", "no", "yes"], ["no", "no", "yes", "yes"]
    figures = {it.name: it.value for it in described("abcd", "efgh", [found], wanted).figures}
    assert figures == {"accuracy": 0.75, "macro_recall": balanced_accuracy_score(wanted, found)}


def test_a_test_part_of_one_class_has_no_score() -> None:
    with pytest.raises(BadDataError, match="METRIC_UNDEFINED: accuracy: all 4 references are of the class 'no'"):
        described("abcd", "efgh", [["no"] * 4], ["no"] * 4)
