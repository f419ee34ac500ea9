"""BLEU: a case worked by hand, case and sides, and the same figure from sums of counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wavlm.errors import BadDataError
from wavlm.evaluation.metrics.translation import bleu_of, corpus_bleu

REFERENCES = ["the cat sat on the mat today", "it is raining again in the city"]
FOUND = ["the cat sat on the mat", "it is raining in the old city"]


def test_the_score_is_that_worked_by_hand() -> None:
    """13 words found, 14 of the reference. Matches: 6 + 6 of 13, 5 + 3 of 11, 4 + 1 of 9, 3 + 0 of 7."""
    precisions = (12 / 13, 8 / 11, 5 / 9, 3 / 7)
    expected = 100 * math.exp(1 - 14 / 13) * math.prod(precisions) ** 0.25
    assert corpus_bleu(REFERENCES, FOUND).score == pytest.approx(expected)


def test_reference_and_result_are_not_the_same_side() -> None:
    assert corpus_bleu(FOUND, REFERENCES).score != pytest.approx(corpus_bleu(REFERENCES, FOUND).score, abs=0.1)


def test_case_and_punctuation_count() -> None:
    same = corpus_bleu(REFERENCES, REFERENCES)
    assert same.score == pytest.approx(100)
    assert corpus_bleu(REFERENCES, [text.capitalize() for text in REFERENCES]).score < 90
    assert corpus_bleu(REFERENCES, [f"{text}." for text in REFERENCES]).score < 90
    assert "case:mixed" in same.signature
    assert "tok:13a" in same.signature
    assert "nrefs:1" in same.signature


def test_sums_of_the_counts_of_utterances_give_the_score() -> None:
    scored = corpus_bleu(REFERENCES, FOUND)
    rows = np.stack([scored.sums.sum(axis=0), scored.sums[0]])
    assert bleu_of(rows) == pytest.approx([scored.score, corpus_bleu(REFERENCES[:1], FOUND[:1]).score])


def test_an_empty_result_scores_nothing_and_an_empty_reference_is_refused() -> None:
    assert corpus_bleu(REFERENCES, ["", ""]).score == 0
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: BLEU: all 2 references are empty"):
        corpus_bleu(["", " "], FOUND)
    with pytest.raises(BadDataError, match=r"METRIC_MISFIT: BLEU: 2 references and 1 results"):
        corpus_bleu(REFERENCES, FOUND[:1])
