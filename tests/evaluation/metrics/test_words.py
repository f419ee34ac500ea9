"""Error rates of words, characters and phones: cases worked by hand, what is normalised (nothing), and edges."""

from __future__ import annotations

import pytest

from wavlm.errors import BadDataError
from wavlm.evaluation.metrics.words import count_edits, split_characters, split_words


def words(*texts: str) -> list[list[str]]:
    return [split_words(text) for text in texts]


def test_edits_are_counted_by_kind_and_utterance() -> None:
    """Of "the cat sat down": one replaced, one missing. Of "go": two more. The third is right."""
    edits = count_edits(
        words("the cat sat down", "go", "yes it is"),
        words("the bat down", "we go now", "yes it is"),
    )
    assert edits.substitutions.tolist() == [1, 0, 0]
    assert edits.deletions.tolist() == [1, 0, 0]
    assert edits.insertions.tolist() == [0, 2, 0]
    assert edits.sums.tolist() == [[2, 4], [2, 1], [0, 3]]
    assert edits.rate == 4 / 8


def test_a_rate_is_of_all_tokens_and_no_mean_of_rates() -> None:
    edits = count_edits(words("a", "b c d e"), words("x", "b c d e"))
    assert edits.rate == 1 / 5


def test_reference_and_result_are_not_the_same_side() -> None:
    """Three words too many for one: 3.0. The other way round two of three are missing, and one is right: 2 / 3."""
    assert count_edits(words("a"), words("a b c d")).rate == 3.0
    assert count_edits(words("a b c"), words("a")).rate == pytest.approx(2 / 3)


def test_nothing_is_normalised() -> None:
    assert count_edits(words("Don't go"), words("don't go.")).rate == 1.0


def test_characters_are_with_or_without_spaces() -> None:
    assert split_characters("a bc", keep_spaces=True) == ["a", " ", "b", "c"]
    assert split_characters("a bc", keep_spaces=False) == ["a", "b", "c"]
    with_spaces = count_edits([split_characters("a bc", keep_spaces=True)], [split_characters("abc", keep_spaces=True)])
    assert with_spaces.sums.tolist() == [[1, 4]]


def test_phones_are_whole_tokens_whatever_letters_they_have() -> None:
    assert count_edits([["AA1", "t s", "B"]], [["AA1", "t", "s", "B"]]).sums.tolist() == [[2, 3]]


def test_an_empty_reference_counts_what_was_inserted() -> None:
    edits = count_edits(words("", "a b"), words("x y z", ""))
    assert edits.sums.tolist() == [[3, 0], [2, 2]]
    assert edits.rate == 5 / 2


def test_a_rate_without_any_token_of_reference_is_refused() -> None:
    with pytest.raises(
        BadDataError, match=r"METRIC_UNDEFINED: error rate: the references of all 2 utterances are empty"
    ):
        _ = count_edits(words("", ""), words("a", "")).rate
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: error rate: nothing to score"):
        count_edits([], [])
    with pytest.raises(BadDataError, match=r"METRIC_MISFIT: error rate: 1 references and 2 results"):
        count_edits(words("a"), words("a", "b"))


def test_a_text_instead_of_its_tokens_is_refused() -> None:
    with pytest.raises(TypeError, match="tokens are expected, found the text 'the cat'"):
        count_edits(["the cat"], [["the", "cat"]])
