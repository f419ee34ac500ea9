"""Paired comparison of two evaluations: worked by hand, and silent where it would mislead."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from wavlm.evaluation.facts import Gain
from wavlm.evaluation.outputs import PREDICTION_SCHEMA, PREDICTIONS
from wavlm.evaluation.paired_tasks import find_task_gain
from wavlm.evaluation.results.facts import EvaluationFacts, Figure
from wavlm.storage.parquet import write_parquet

Side = tuple[EvaluationFacts, Path]


def side(folder: Path, name: str, value: float, pairs: Sequence[tuple[object, object]], *, seeds: int = 1) -> Side:
    folder.mkdir()
    rows = [
        {
            "key": f"e{number % (len(pairs) // seeds)}",
            "speaker": f"s{number % (len(pairs) // seeds)}",
            "fold": "",
            "seed": number // (len(pairs) // seeds),
            "target": json.dumps(target),
            "prediction": json.dumps(found),
        }
        for number, (target, found) in enumerate(pairs)
    ]
    write_parquet(folder / PREDICTIONS, pa.Table.from_pylist(rows, PREDICTION_SCHEMA))
    figure = Figure(name=name, value=value, is_lower_better=name != "accuracy")
    facts = EvaluationFacts(evaluation="e", task="ks", subject="m", reality="real", figures=(figure,))
    return facts, folder


def answers(right: int, of: int) -> list[tuple[object, object]]:
    return [({"class": "a"}, {"class": "a" if number < right else "b"}) for number in range(of)]


def test_a_model_that_is_right_more_often_gains_with_an_interval_above_zero(tmp_path: Path) -> None:
    ours = side(tmp_path / "ours", "accuracy", 0.9, answers(36, 40))
    theirs = side(tmp_path / "theirs", "accuracy", 0.3, answers(12, 40))
    found = find_task_gain("demo/e/accuracy", ours, theirs, "accuracy", 0.95)
    assert isinstance(found, Gain)
    assert found.gain == pytest.approx(0.6)
    # Of 40 examples 24 differ in favour of the first: mean 0.6, standard error sqrt(0.6 x 0.4 / 40).
    assert found.low == pytest.approx(0.6 - 1.96 * 0.0775, abs=0.02)
    assert (found.num_utterances, found.unit) == (40, "speakers")


def test_equal_predictions_gain_nothing(tmp_path: Path) -> None:
    both = [side(tmp_path / name, "accuracy", 0.5, answers(20, 40)) for name in ("ours", "theirs")]
    found = find_task_gain("demo/e/accuracy", both[0], both[1], "accuracy", 0.95)
    assert isinstance(found, Gain)
    assert (found.gain, found.low, found.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "target", "found", "value"),
    [
        ("cer", list("ab ab"), list("ab ac"), 0.2),
        ("wer", list("ab ab"), list("ab ac"), 0.5),
        ("per", ["a"], ["b"], 1.0),
    ],
)
def test_a_lower_error_rate_is_a_gain(tmp_path: Path, name: str, target: object, found: object, value: float) -> None:
    ours = side(tmp_path / "ours", name, 0.0, [(target, target)] * 6)
    theirs = side(tmp_path / "theirs", name, value, [(target, found)] * 6)
    gain = find_task_gain(f"demo/e/{name}", ours, theirs, name, 0.95)
    assert isinstance(gain, Gain)
    assert (gain.gain, gain.low) == (pytest.approx(value), pytest.approx(value))


def test_seeds_are_no_examples_of_their_own(tmp_path: Path) -> None:
    ours = side(tmp_path / "ours", "accuracy", 1.0, answers(20, 20), seeds=2)
    theirs = side(tmp_path / "theirs", "accuracy", 0.5, answers(10, 20), seeds=2)
    found = find_task_gain("demo/e/accuracy", ours, theirs, "accuracy", 0.95)
    assert isinstance(found, Gain)
    assert (found.num_utterances, found.gain) == (10, pytest.approx(0.5))


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    good = side(tmp_path / "good", "accuracy", 0.5, answers(20, 40))
    fewer = side(tmp_path / "fewer", "accuracy", 0.5, answers(19, 38))
    wrong = side(tmp_path / "wrong", "accuracy", 0.75, answers(20, 40))
    tiny = side(tmp_path / "tiny", "accuracy", 0.5, answers(2, 4))
    other = side(tmp_path / "other", "eer", 0.5, answers(20, 40))
    said = [
        find_task_gain("m", *pair, "eer" if pair[0] is other else "accuracy", 0.95)
        for pair in ((good, fewer), (good, wrong), (tiny, tiny), (good, other), (other, other))
    ]
    assert said == [
        "m is no comparison: their test examples differ",
        "m is no comparison: predictions do not give accuracy 0.75 again",
        "m is no comparison: there are fewer than 5 test examples",
        "m is no comparison: not both evaluations have one figure accuracy",
        "m is no comparison: eer is no quotient of sums over test examples",
    ]
