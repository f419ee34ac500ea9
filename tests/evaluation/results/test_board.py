"""The table of results: what may stand in one column, what each cell shows, and what stands beneath."""

from __future__ import annotations

import pytest

from tests.evaluation.results.test_groups import rate, result
from wavlm.evaluation.results.board import (
    UNLIKE,
    StoredResult,
    keep,
    long_rows,
    notes_of,
    rows_of,
    synthetic_rows_of,
)
from wavlm.evaluation.results.facts import Amount, Attempt, ConfidenceInterval, EvaluationFacts, Figure
from wavlm.evaluation.results.words import show_value

SPREAD = ConfidenceInterval(low=0.7, high=0.9, method="Wilson over 50 trials")
TEST = Amount(utterances=50, speakers=4, minutes=2.5)


def stored(facts: EvaluationFacts, conditions: str = "aaaaaaaa", at: float = 1.0) -> StoredResult:
    return StoredResult(facts, f"key-of-{facts.subject}", conditions, at)


def ks(subject: str, value: float, **changes: object) -> EvaluationFacts:
    figure = Figure(name="accuracy", value=value, interval=SPREAD)
    return result("ks", figure, subject=subject, test=TEST, **changes)


def test_rows_are_models_then_baselines_and_columns_go_by_group() -> None:
    board = keep(
        [
            stored(result("sid", rate("accuracy", 0.3), subject="zeta")),
            stored(ks("random", 0.1)),
            stored(ks("zeta", 0.8)),
            stored(ks("fbank", 0.2)),
        ]
    )
    rows = rows_of(board)
    assert [row["model"] for row in rows] == ["zeta", "fbank", "random"]
    assert list(rows[0]) == ["model", "ks-small", "sid-small", "overall"]
    assert rows[0]["ks-small"] == "80.00 % [70.00, 90.00]"
    assert rows[0]["sid-small"] == "30.00 %"
    assert rows[0]["overall"] == "55.0"
    assert rows[1]["sid-small"] == ""


def test_other_data_under_the_same_name_never_stand_in_one_column() -> None:
    board = keep([stored(ks("one", 0.8)), stored(ks("two", 0.6), "bbbbbbbb")])
    rows = rows_of(board)
    assert [row["ks-small (aaaaaa)"] for row in rows] == ["80.00 % [70.00, 90.00]", ""]
    assert [row["ks-small (bbbbbb)"] for row in rows] == ["", "60.00 % [70.00, 90.00]"]


def test_the_overall_score_takes_the_newest_of_an_evaluation() -> None:
    board = keep([stored(ks("one", 0.8), at=1.0), stored(ks("one", 0.6), "bbbbbbbb", at=2.0)])
    assert rows_of(board)[0]["overall"] == "60.0"


def test_two_models_of_one_name_are_told_apart() -> None:
    first, second = ks("iteration1", 0.8), ks("iteration1", 0.6)
    board = keep([StoredResult(first, "1111112222", "a"), StoredResult(second, "3333334444", "a")])
    assert [row["model"] for row in rows_of(board)] == ["iteration1 (111111)", "iteration1 (333333)"]


def test_beneath_the_table_stands_how_much_speech_and_of_which_kind() -> None:
    first, *others = notes_of(keep([stored(ks("one", 0.8, reality="simulated"))]))
    assert first == (
        "ks-small (content, ks): accuracy, higher is better; interval: Wilson over 50 trials; test: 50 utterances, "
        "4 speakers, 2.5 min, simulated speech."
    )
    assert others == ["one: partial suite: 1 of 15 tasks; the score is a mean of 1 of 12 tasks that enter it."]


def test_what_a_reader_has_to_know_of_a_figure_marks_its_cell() -> None:
    attempts = tuple(Attempt(learning_rate=rate, seed=0, dev=0.5, update=1, updates=1) for rate in (0.1, 0.01))
    noted = ks("one", 0.8, notes=("Heard.",), is_at_edge=True, learning_rate=0.1, attempts=attempts, was_cut=True)
    board = keep([stored(noted), stored(ks("two", 0.8))])
    assert [row["ks-small"].endswith(" *") for row in rows_of(board)] == [True, False]
    assert list(notes_of(board))[-3:] == [
        "*: Heard. (one on ks-small)",
        "*: The best learning rate, 0.1, is at the edge of the list. (one on ks-small)",
        "*: Not all of the data was used. (one on ks-small)",
    ]


def test_scores_over_different_tasks_are_said_to_be_no_comparison() -> None:
    others = [stored(ks("one", 0.8)), stored(result("er", rate("accuracy", 0.5), subject="two"))]
    assert UNLIKE in list(notes_of(keep(others)))


def test_scores_of_one_task_under_other_conditions_are_said_to_be_no_comparison() -> None:
    alike = [stored(ks("one", 0.9)), stored(ks("two", 0.8))]
    assert UNLIKE not in list(notes_of(keep(alike)))
    assert UNLIKE not in list(notes_of(keep([*alike, stored(result("se", rate("pesq", 2.0), subject="three"))])))
    newer = stored(ks("one", 0.2), "bbbbbbbb", at=2.0)  # what its score is now made of
    assert UNLIKE in list(notes_of(keep([*alike, newer])))
    easier = result("ks", rate("accuracy", 0.99), subject="three").model_copy(update={"evaluation": "ks-easy"})
    assert UNLIKE in list(notes_of(keep([*alike, stored(easier)])))


def test_the_edge_of_the_search_is_noted_also_where_folds_chose_different_learning_rates() -> None:
    attempts = tuple(
        Attempt(learning_rate=rate, seed=0, fold=fold, dev=0.5, update=1, updates=1)
        for fold in ("a", "b")
        for rate in (0.1, 0.01)
    )
    board = keep([stored(ks("one", 0.8, is_at_edge=True, learning_rate=None, attempts=attempts))])
    note = "The best learning rate of one fold or more is at the edge of the list."
    assert list(notes_of(board))[-1] == f"*: {note} (one on ks-small)"
    assert [row["note"] for row in long_rows(board)] == [note]


def test_each_figure_has_its_own_note_for_programs() -> None:
    first = Figure(name="der", value=0.1, is_lower_better=True, note="Chosen on dev.")
    facts = result("sd", first, rate("der_overlap", 0.3), subject="one", notes=("Heard.",))
    board = keep([stored(facts)])
    assert [row["note"] for row in long_rows(board)] == ["Chosen on dev. Heard.", "Heard."]
    assert rows_of(board)[0]["sd-small"].endswith(" *")


def test_synthetic_speech_stands_in_a_table_of_its_own_and_counts_in_no_score() -> None:
    made = stored(result("er", rate("accuracy", 0.9), subject="one", reality="synthetic", test=TEST))
    board = keep([stored(ks("one", 0.5)), made])
    (row,), (apart,) = rows_of(board), synthetic_rows_of(board)
    assert (list(row), row["overall"]) == (["model", "ks-small", "overall"], "50.0")
    assert apart == {"model": "one", "er-small": "90.00 %"}
    notes = list(notes_of(board))
    assert any(note.endswith("test: 50 utterances, 4 speakers, 2.5 min, synthetic speech.") for note in notes)
    assert any("left out, because their speech is synthetic: er" in note for note in notes)
    assert rows_of(keep([made])) == []
    assert synthetic_rows_of(keep([stored(ks("one", 0.5))])) == []


def test_programs_get_a_row_per_figure_in_full_precision() -> None:
    facts = result("sf", rate("slot_type_f1", 1 / 3), rate("slot_value_cer", 0.4), subject="one", test=TEST)
    rows = list(long_rows(keep([stored(facts), stored(ks("one", 0.8))], ["sf-small"])))
    assert [(row["metric"], row["value"], row["lower_is_better"]) for row in rows] == [
        ("slot_type_f1", pytest.approx(1 / 3, abs=0), 0),
        ("slot_value_cer", 0.4, 1),
    ]
    assert (rows[0]["utterances"], rows[0]["speakers"], rows[0]["low"]) == (50, 4, None)


@pytest.mark.parametrize(
    ("metric", "value", "shown"),
    [
        ("accuracy", 0.5, "50.00 %"),
        ("intent_accuracy", 0.5, "50.00 %"),
        ("eer_best_on_test", 0.0123, "1.23 %"),
        ("min_dcf", 0.5, "0.5"),
        ("mtwv", 0.05, "0.05"),
        ("bleu", 21.37, "21.37"),
        ("mcd", 8.04, "8.04"),
    ],
)
def test_rates_are_shown_in_percent_and_others_as_they_are(metric: str, value: float, shown: str) -> None:
    assert show_value(metric, value) == shown
