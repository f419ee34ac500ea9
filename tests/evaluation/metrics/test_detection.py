"""Term weighted values: a case worked by hand, the prior of the scoring tool, and edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wavlm.errors import BadDataError
from wavlm.evaluation.metrics.detection import BETA, beta_of, search_trials

# Query "a" is in documents 1 and 2 of five, "b" in one of four.
QUERIES = ["a"] * 5 + ["b"] * 4
SCORES = [9.0, 4.0, 7.0, 2.0, 1.0, 6.0, 5.0, 3.0, 0.0]
IS_TARGET = [True, True, False, False, False, True, False, False, False]


def test_the_maximum_is_that_worked_by_hand() -> None:
    """beta 0.5. What each trial adds when it is found, from the highest score on, by 2 queries:

    9 target of a, + 1/2 : 2                = + 0.25      sum 0.25
    7 other of a, - 0.5 * 1/3 : 2           = - 0.08333   sum 0.16667
    6 target of b, + 1/1 : 2                = + 0.5       sum 0.66667
    5 other of b, - 0.5 * 1/3 : 2           = - 0.08333   sum 0.58333
    4 target of a                           = + 0.25      sum 0.83333, the maximum
    3 other of b                            = - 0.08333   sum 0.75
    """
    best = search_trials(QUERIES, SCORES, IS_TARGET).mtwv(beta=0.5)
    assert best.value == pytest.approx(5 / 6)
    assert best.threshold == 4.0


def test_the_value_of_decisions_is_that_worked_by_hand() -> None:
    """Found: 9, 7 (a), 6, 3 (b). Of a: miss 1/2, false alarm 1/3; of b: miss 0, false alarm 1/3.

    1 - ((1/2 + 0.5/3) + (0 + 0.5/3)) / 2 = 7/12.
    """
    found = [score in (9.0, 7.0, 6.0, 3.0) for score in SCORES]
    assert search_trials(QUERIES, SCORES, IS_TARGET).twv(found, beta=0.5) == pytest.approx(7 / 12)


def test_beta_is_that_of_the_prior_in_quessts_tool() -> None:
    """The tool of QUESST 2014 and 2015 is called with the effective prior 0.0741289."""
    assert BETA == beta_of(0.0008, 100, 1) == pytest.approx((1 - 0.0741289) / 0.0741289, rel=1e-5)


def test_finding_nothing_is_worth_nothing_and_is_the_best_of_bad_scores() -> None:
    trials = search_trials(QUERIES, [-score for score in SCORES], IS_TARGET)
    assert trials.twv([False] * 9) == 0.0
    worst = trials.mtwv()
    assert (worst.value, worst.threshold) == (0.0, math.inf)


def test_finding_all_costs_beta() -> None:
    trials = search_trials(QUERIES, SCORES, IS_TARGET)
    assert trials.twv([True] * 9) == pytest.approx(1 - BETA)


def test_trials_of_one_score_are_found_together() -> None:
    trials = search_trials(["a", "a", "a"], [1.0, 1.0, 0.0], [True, False, False])
    assert trials.mtwv(beta=0.5).value == pytest.approx(1 - 0.5 / 2)


def test_a_query_that_no_document_contains_is_left_out() -> None:
    more = search_trials([*QUERIES, "c", "c"], [*SCORES, 99.0, 98.0], [*IS_TARGET, False, False])
    assert more.mtwv(beta=0.5) == search_trials(QUERIES, SCORES, IS_TARGET).mtwv(beta=0.5)


def test_a_weight_counts_a_trial_that_often() -> None:
    times = np.array([1, 2, 0, 3, 1, 1, 0, 2, 1])
    weighted = search_trials(QUERIES, SCORES, IS_TARGET).mtwv(0.5, times.astype(float))
    again = [np.repeat(np.array(column), times).tolist() for column in (QUERIES, SCORES, IS_TARGET)]
    assert weighted.value == pytest.approx(search_trials(*again).mtwv(0.5).value)


def test_trials_without_a_target_or_with_nan_are_refused() -> None:
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: TWV: none of 2 queries has both documents"):
        search_trials(QUERIES, SCORES, [False] * 9).mtwv()
    with pytest.raises(BadDataError, match=r"NOT_FINITE: TWV: 1 of 9 values"):
        search_trials(QUERIES, [math.nan, *SCORES[1:]], IS_TARGET)
    with pytest.raises(BadDataError, match=r"METRIC_MISFIT: TWV: 9 references and 8 results"):
        search_trials(QUERIES, SCORES[1:], IS_TARGET)
