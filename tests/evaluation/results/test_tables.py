"""Results of several suites as tables: each suite in its own, and none wider than a terminal."""

from __future__ import annotations

from wavlm.evaluation.results.board import StoredResult, keep
from wavlm.evaluation.results.facts import Amount, EvaluationFacts, Figure
from wavlm.evaluation.results.tables import OTHERS, by_suite, tables_of

TASKS = {"a-pr": "pr", "a-asr": "asr", "a-ks": "ks", "a-sid": "sid", "a-asv": "asv", "a-sd": "sd", "shared": "er"}
SUITES = {
    "large": ("a-pr", "a-asr", "a-ks", "a-sid", "a-asv", "a-sd", "shared"),
    "small": ("shared", "b-ks"),
    "none": ("z",),
}


def results(*names: str) -> list[StoredResult]:
    return [
        StoredResult(
            EvaluationFacts(
                evaluation=name,
                task=TASKS.get(name, "ks"),
                subject=model,
                reality="real",
                figures=(Figure(name="accuracy", value=value),),
                test=Amount(utterances=10, speakers=2, minutes=1.0),
            ),
            model,
            name,
        )
        for name in names
        for model, value in (("m", 0.5), ("fbank", 0.25))
    ]


def test_suites_are_tables_of_their_own_and_what_they_share_is_in_both() -> None:
    found = by_suite(keep(results(*SUITES["large"], "b-ks", "mine")), SUITES)
    assert [(title, sorted({it.facts.evaluation for it in board.results})) for title, board in found] == [
        ("large", sorted(SUITES["large"])),
        ("small", ["b-ks", "shared"]),
        (OTHERS, ["mine"]),
    ]
    assert [title for title, _ in by_suite(keep(results("mine")), SUITES)] == ["results"]
    assert [title for title, _ in by_suite(keep(results("shared")), SUITES)] == ["small"]  # the smaller one is whole


def test_a_wide_table_is_one_per_group_on_a_terminal_and_one_elsewhere() -> None:
    board = keep(results(*SUITES["large"]))
    tables = dict(tables_of("large", board, is_narrow=True))
    assert {title: list(rows[0]) for title, rows in tables.items()} == {
        "large: content": ["model", "a-pr", "a-asr", "a-ks"],
        "large: speaker": ["model", "a-sid", "a-asv", "a-sd"],
        "large: paralinguistics": ["model", "shared"],
        "large: overall": ["model", "overall"],
    }
    assert [row["model"] for row in tables["large: content"]] == ["m", "fbank"]
    assert tables["large: overall"][0]["overall"] == "50.0"
    ((title, rows),) = tables_of("large", board, is_narrow=False)
    assert (title, list(rows[0])) == ("large", ["model", *SUITES["large"], "overall"])
    few = list(tables_of("few", keep(results("a-ks", "a-sid")), is_narrow=True))
    assert [title for title, _ in few] == ["few"]
