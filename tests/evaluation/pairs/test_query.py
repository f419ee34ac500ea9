"""Query by example: answers from texts and classes, scores on made frames, and the state that is chosen on dev."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import JsonValue

from tests.evaluation.core.made import MadeFeatures
from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.fit.states import compare_states
from wavlm.evaluation.labelled import Row
from wavlm.evaluation.splits import Split
from wavlm.evaluation.tasks.answers import find_queries
from wavlm.evaluation.tasks.query import Searcher
from wavlm.specs.pairs import QueryByExample

SPEC = QueryByExample(type="qbe")


class Listed:
    """Stands for a labelled corpus: rows without files."""

    name = "c"

    def __init__(self, *rows: Row) -> None:
        self.rows = rows


def _row(key: str, text: str | None = None, speaker: str = "", **target: JsonValue) -> Row:
    return Row(key, speaker, "", text, None, target, 16000, Take(0, 0))


def _holds(query: Example) -> list[str]:
    return [key.removeprefix("c/") for key in query.target["holds"]]  # type: ignore[index,call-overload]


def _answers(spec: QueryByExample, *rows: Row) -> dict[str, list[str]]:
    corpora: Any = [Listed(*rows)]
    return {query.key.removeprefix("c/"): _holds(query) for query in find_queries(spec, corpora)}


def test_a_word_is_found_in_the_texts_that_say_it_as_a_word_of_its_own() -> None:
    rows = (
        _row("one", "One."),
        _row("gone", "gone"),
        _row("a", "Press ONE, please."),
        _row("b", "she has gone home"),
        _row("c", "someone called"),
        _row("tone"),
    )
    assert _answers(SPEC.model_copy(update={"answers": "words"}), *rows) == {"one": ["a"], "gone": ["b"]}


def test_a_query_of_two_words_is_found_where_they_follow_each_other() -> None:
    rows = (_row("q", "good bye"), _row("a", "bye, good man"), _row("b", "say good bye now"))
    spec = SPEC.model_copy(update={"answers": "words", "max_query_words": 2})
    assert _answers(spec, *rows) == {"q": ["b"]}


def test_a_class_is_looked_for_among_other_speakers_alone() -> None:
    rows = [_row(f"{speaker}-{word}", speaker=speaker, **{"class": word}) for speaker in "ab" for word in ("x", "y")]
    spec = SPEC.model_copy(update={"answers": "classes"})
    assert _answers(spec, *rows) == {"a-x": ["b-x"], "a-y": ["b-y"], "b-x": ["a-x"], "b-y": ["a-y"]}
    corpora: Any = [Listed(*rows)]
    for query in find_queries(spec, corpora):
        assert {item.speaker for item in query.compared_with} == {"ab".replace(query.speaker, "")}


@pytest.mark.parametrize(
    ("answers", "row", "found"),
    [
        ("words", _row("q"), "TARGET_MISSING: none of 1 recordings has a text"),
        ("classes", _row("q", speaker="a"), "TARGET_MISSING: the recording q has no class"),
        ("classes", _row("q", **{"class": "x"}), "TARGET_MISSING: the speaker of q"),
        ("words", _row("q", "hello"), "TARGET_MISSING: no document holds any query"),
    ],
)
def test_what_says_no_answers_is_refused(answers: str, row: Row, found: str) -> None:
    with pytest.raises(BadDataError, match=found):
        _answers(SPEC.model_copy(update={"answers": answers}), row)


def _made(count: int = 8, states: int = 3) -> tuple[list[Example], MadeFeatures]:
    """Queries, each hidden in one document of its own, but in the last state alone. The others are noise."""
    rng = np.random.default_rng(0)
    documents, queries, values = [], [], {}
    for number in range(2 * count):
        values[f"d{number}"] = rng.normal(size=(states, 30, 8)).astype(np.float32)
        documents.append(Example(f"d{number}", "", "", 16000, Take(0, 0), None))
    for number in range(count):
        values[f"q{number}"] = rng.normal(size=(states, 8, 8)).astype(np.float32)
        values[f"q{number}"][-1] = values[f"d{number}"][-1, 11:19]
        queries.append(
            Example(f"q{number}", "", "", 16000, Take(0, 0), {"holds": [f"d{number}"]}, "", tuple(documents))
        )
    return queries, MadeFeatures(values)


def test_the_state_is_chosen_on_the_dev_part_and_finds_the_test_queries(tmp_path: Path) -> None:
    queries, features = _made()
    split = Split("", (), tuple(queries[:5]), tuple(queries[5:]))
    found = compare_states(Searcher(SPEC), split, features, 3, tmp_path, "cpu")
    assert found.state == 2
    mtwv, atwv = Searcher(SPEC).score(split.test, found.predictions)
    assert mtwv.value == 1.0
    assert mtwv.note.startswith("48 trials of 3 queries and 16 documents, 3 hold it; no interval")  # three are too few
    assert atwv.value == 1.0  # the right document is more than two deviations above the others


def test_states_that_were_scored_are_not_compared_again(tmp_path: Path) -> None:
    queries, features = _made()
    split = Split("", (), tuple(queries[:5]), tuple(queries[5:]))
    first = compare_states(Searcher(SPEC), split, features, 3, tmp_path, "cpu")
    noise = MadeFeatures({key: np.ones_like(value) for key, value in features.values.items()})
    again = compare_states(Searcher(SPEC), split, noise, 3, tmp_path, "cpu")
    assert again.alone == first.alone
    assert again.state == 2


def test_scores_of_a_query_have_mean_0_and_deviation_1_and_a_short_query_finds_nothing() -> None:
    queries, features = _made()
    features.values["q1"] = features.values["q1"][:, :4]
    long, short = (
        np.array(list(found["scores"].values()))  # type: ignore[index,call-overload,union-attr]
        for found in Searcher(SPEC).compare(queries[:2], features, 2, "cpu")
    )
    assert long.mean() == pytest.approx(0, abs=1e-9)
    assert long.std() == pytest.approx(1)
    assert not short.any()


def test_a_scale_and_a_shift_of_channels_change_no_score() -> None:
    """Channels are normalised over queries and documents before frames are compared."""
    queries, features = _made()
    changed = MadeFeatures(
        {key: (value * np.arange(1, 9) + 5).astype(np.float32) for key, value in features.values.items()}
    )
    for state in range(3):
        one, other = (Searcher(SPEC).compare(queries, made, state, "cpu") for made in (features, changed))
        for a, b in zip(one, other, strict=True):
            assert list(b["scores"].values()) == pytest.approx(list(a["scores"].values()), abs=1e-3)  # type: ignore[index,call-overload,union-attr]


def test_a_part_whose_queries_are_everywhere_is_refused_before_any_work() -> None:
    queries, _ = _made()
    everywhere = [replace(item, compared_with=item.compared_with[n : n + 1]) for n, item in enumerate(queries)]
    with pytest.raises(BadDataError, match="METRIC_UNDEFINED: each of the 8 queries of the test part"):
        Searcher(SPEC).check_parts(queries, everywhere)
