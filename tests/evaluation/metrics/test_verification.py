"""EER and minDCF: against scikit-learn's ROC, against two Gaussians in closed form, and a case by hand."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import roc_curve

from wavlm.errors import BadDataError
from wavlm.evaluation.metrics.verification import eer, rank_trials


def draw_trials(rng: np.random.Generator, *, decimals: int) -> tuple[np.ndarray, np.ndarray]:
    """Few digits make many trials of one score."""
    is_target = rng.random(500) < 0.2
    return np.round(rng.normal(is_target * 1.5, 1.0), decimals), is_target


@pytest.mark.parametrize("decimals", [0, 1, 6])
@pytest.mark.parametrize("seed", range(5))
def test_the_eer_is_that_of_scikit_learns_curve(decimals: int, seed: int) -> None:
    scores, is_target = draw_trials(np.random.default_rng(seed), decimals=decimals)
    false_alarms, hits, _ = roc_curve(is_target, scores)
    expected = brentq(lambda x: 1 - x - interp1d(false_alarms, hits)(x), 0, 1)
    assert eer(scores, is_target) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("costs", [(0.01, 1, 1), (0.05, 1, 1), (0.01, 10, 1), (0.5, 1, 3), (0.5, 3, 1)])
def test_the_smallest_cost_is_that_of_scikit_learns_curve(costs: tuple[float, float, float]) -> None:
    p_target, miss, false_alarm = costs
    scores, is_target = draw_trials(np.random.default_rng(9), decimals=2)
    false_alarms, hits, _ = roc_curve(is_target, scores, drop_intermediate=False)
    costs_at = miss * p_target * (1 - hits) + false_alarm * (1 - p_target) * false_alarms
    expected = costs_at.min() / min(miss * p_target, false_alarm * (1 - p_target))
    assert rank_trials(scores, is_target).curve().min_dcf(*costs) == pytest.approx(expected, abs=1e-12)


def test_two_gaussians_have_the_errors_of_the_textbook() -> None:
    """Scores N(0, 1) of others and N(2, 1) of targets: EER = Phi(-1); minDCF at the threshold of equal likelihoods."""
    normal, num = NormalDist(), 20_000
    quantiles = np.array([normal.inv_cdf((number + 0.5) / num) for number in range(num)])
    trials = rank_trials(np.concatenate([quantiles, quantiles + 2]), np.arange(2 * num) >= num)
    assert trials.curve().eer() == pytest.approx(normal.cdf(-1), abs=1e-4)
    p_target = 0.05
    threshold = 1 + np.log((1 - p_target) / p_target) / 2
    cost = p_target * normal.cdf(threshold - 2) + (1 - p_target) * normal.cdf(-threshold)
    assert trials.curve().min_dcf(p_target) == pytest.approx(cost / p_target, abs=1e-3)


def test_the_eer_lies_between_two_thresholds() -> None:
    """Targets .9 .8 .3, others .7 .2: at .3 miss 0, false alarm 1/2; at .7 miss 1/3, false alarm 1/2: crossing at 1/3
    is on the step from (0, 1/3) to (1/2, 1/3)."""
    assert eer([0.9, 0.8, 0.3, 0.7, 0.2], [True, True, True, False, False]) == pytest.approx(1 / 3)


def test_perfect_useless_and_wrong_scores_have_their_values() -> None:
    is_target = [True, True, False, False]
    for scores, expected in (([4, 3, 2, 1], 0.0), ([1, 1, 1, 1], 0.5), ([1, 2, 3, 4], 1.0)):
        assert eer(scores, is_target) == pytest.approx(expected)
    assert rank_trials([1, 2, 3, 4], is_target).curve().min_dcf(0.05) == 1.0
    assert rank_trials([4, 3, 2, 1], is_target).curve().min_dcf(0.05) == 0.0


def test_a_weight_counts_a_trial_that_often() -> None:
    rng = np.random.default_rng(3)
    scores, is_target = draw_trials(rng, decimals=1)
    times = rng.integers(0, 4, len(scores))
    curve = rank_trials(scores, is_target).curve(times.astype(float))
    again = rank_trials(scores.repeat(times), is_target.repeat(times)).curve()
    assert curve.eer() == pytest.approx(again.eer())
    assert curve.min_dcf(0.05) == pytest.approx(again.min_dcf(0.05))


def test_trials_that_have_no_eer_are_refused() -> None:
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: EER: 2 of 2 trials are of one speaker"):
        eer([1.0, 2.0], [True, True])
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: EER: 0 of 2 trials are of one speaker"):
        eer([1.0, 2.0], [False, False])
    with pytest.raises(
        BadDataError, match=r"NOT_FINITE: EER: 1 of 2 values are NaN or infinite; the first is number 1"
    ):
        eer([1.0, np.nan], [False, True])
    with pytest.raises(BadDataError, match=r"METRIC_MISFIT: EER: 2 references and 1 results"):
        eer([1.0], [False, True])
