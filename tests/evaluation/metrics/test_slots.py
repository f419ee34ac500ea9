"""Slot filling: F1 and CER of cases worked by hand, in the way of SUPERB's reference."""

from __future__ import annotations

import pytest

from wavlm.errors import BadDataError
from wavlm.evaluation.metrics.slots import count_value_edits, slot_type_f1


def test_the_f1_is_of_the_types_of_each_utterance() -> None:
    """2 of 2 found types right, of 3: P 1, R 2/3, F1 0.8. Values and repeated types do not count."""
    references = [[("artist", "abba"), ("year", "1980"), ("city", "rome")], [("city", "rome"), ("city", "bonn")]]
    found = [[("artist", "queen"), ("city", "rome")], [("city", "x"), ("year", "y")]]
    assert slot_type_f1(references, found).tolist() == pytest.approx([0.8, 2 / 3])


def test_an_utterance_without_slots_is_right_where_none_is_found() -> None:
    assert slot_type_f1([[], [], [("a", "x")]], [[], [("a", "x")], []]).tolist() == [1.0, 0.0, 0.0]


def test_values_are_compared_with_the_nearest_of_their_type() -> None:
    """rome: rom is nearer than paris, 1 edit of 4. abba: no artist was found, 4 of 4. new york: its space counts."""
    references = [[("city", "rome"), ("artist", "abba")], [("city", "new york")], []]
    found = [[("city", "paris"), ("city", "rom"), ("year", "abba")], [("city", "newyork")], [("city", "x")]]
    edits = count_value_edits(references, found)
    assert edits.sums.tolist() == [[5, 8], [1, 8], [0, 0]]
    assert edits.deletions.tolist() == [5, 1, 0]
    assert edits.rate == 6 / 16


def test_one_found_value_may_serve_several_of_the_reference() -> None:
    edits = count_value_edits([[("city", "rome"), ("city", "roma")]], [[("city", "rome")]])
    assert edits.sums.tolist() == [[1, 8]]


def test_a_corpus_without_slots_has_no_cer() -> None:
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: slot-value CER: none of 2 references has a slot"):
        count_value_edits([[], []], [[("a", "b")], []])
    with pytest.raises(BadDataError, match=r"METRIC_MISFIT: slot-type F1: 1 references and 0 results"):
        slot_type_f1([[]], [])
