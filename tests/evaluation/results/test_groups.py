"""SUPERB's groups and overall score: worked by hand, and what is missing is said."""

from __future__ import annotations

import pytest

from wavlm.evaluation.results.facts import EvaluationFacts, Figure
from wavlm.evaluation.results.groups import GROUPS, TASKS, group_of, in_groups, overall


def result(task: str, *figures: Figure, **changes: object) -> EvaluationFacts:
    fields = {"evaluation": f"{task}-small", "task": task, "subject": "m", "reality": "real", "figures": figures}
    return EvaluationFacts.model_validate(fields | changes)


def rate(name: str, value: float) -> Figure:
    return Figure(name=name, value=value, is_lower_better=name in {"per", "wer", "eer", "slot_value_cer"})


def test_there_are_fifteen_tasks_in_five_groups() -> None:
    assert len(set(TASKS)) == 15
    assert {group: len(tasks) for group, tasks in GROUPS.items()} == {
        "content": 5,
        "speaker": 3,
        "semantics": 3,
        "paralinguistics": 1,
        "generation": 3,
    }
    assert group_of("sd") == "speaker"
    assert group_of("abx") == "other"


def test_results_come_in_the_order_of_the_groups() -> None:
    results = [result(task, rate("accuracy", 0.5)) for task in ("er", "abx", "sid", "ks", "pr")]
    found = [(group, [item.task for item in items]) for group, items in in_groups(results)]
    assert found == [
        ("content", ["pr", "ks"]),
        ("speaker", ["sid"]),
        ("paralinguistics", ["er"]),
        ("other", ["abx"]),
    ]


def test_the_overall_score_by_hand() -> None:
    """100 - 20, 90, 100 x 0.08, 30 as it is, and both figures of slot filling: 70 and 100 - 40."""
    found = overall(
        [
            result("pr", rate("per", 0.2), rate("unused", 0.0)),
            result("ks", rate("accuracy", 0.9)),
            result("qbe", rate("mtwv", 0.08)),
            result("st", Figure(name="bleu", value=30.0)),
            result("sf", rate("slot_type_f1", 0.7), rate("slot_value_cer", 0.4)),
        ]
    )
    assert found.score == pytest.approx((80 + 90 + 8 + 30 + 70 + 60) / 6)
    assert found.scored == ("pr", "ks", "qbe", "sf", "st")
    assert not found.is_complete
    assert found.note == "partial suite: 5 of 15 tasks; the score is a mean of 5 of 12 tasks that enter it"


def test_several_evaluations_of_a_task_count_as_one() -> None:
    ood = [result("ood_asr", rate("wer", value), evaluation=f"ood-{value}") for value in (0.2, 0.6)]
    assert overall([*ood, result("ks", rate("accuracy", 0.9))]).score == pytest.approx((60 + 90) / 2)


def test_synthetic_speech_makes_no_claim() -> None:
    found = overall(
        [
            result("ic", rate("accuracy", 0.99), reality="synthetic"),
            result("ks", rate("accuracy", 0.5), reality="simulated"),
            result("er", rate("accuracy", 0.1), reality="synthetic"),
            result("er", rate("accuracy", 0.7)),
        ]
    )
    assert found.score == pytest.approx(60)
    assert found.synthetic == ("ic",)
    assert "left out, because their speech is synthetic: ic" in found.note


def test_metrics_that_are_no_percentages_are_named_and_not_averaged() -> None:
    found = overall(
        [
            result("se", Figure(name="pesq", value=2.6)),
            result("vc", Figure(name="mcd", value=7.4, is_lower_better=True)),
            result("ks", rate("accuracy", 0.5)),
        ]
    )
    assert found.score == pytest.approx(50)
    assert found.note.startswith("partial suite: 3 of 15 tasks")
    assert found.note.endswith("not in the score, because their metrics are no percentages: se, vc")


def test_a_complete_suite_says_only_what_is_never_in_the_score() -> None:
    two = (rate("slot_type_f1", 0.5), rate("slot_value_cer", 0.5))
    found = overall([result(task, *(two if task == "sf" else (rate("accuracy", 0.5),))) for task in TASKS])
    assert found.is_complete
    assert found.score == pytest.approx(50)
    assert found.note == "not in the score, because their metrics are no percentages: se, ss, vc"


def test_results_without_figures_give_no_score() -> None:
    found = overall([result("ks")])
    assert found.score is None
    assert found.note.startswith("partial suite: 0 of 15 tasks")
