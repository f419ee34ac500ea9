"""A gain with its interval: against textbook formulas, and against draws of one's own."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from wavlm.evaluation.best_layer import pnmi_of
from wavlm.evaluation.facts import Gain
from wavlm.evaluation.paired import FEWEST_SPEAKERS, find_gain
from wavlm.labels.quality import JointCounts

pytestmark = pytest.mark.numeric


def mean_of(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


def gain_of(ours: np.ndarray, theirs: np.ndarray, speakers: list[str] | None = None, confidence: float = 0.9) -> Gain:
    """Of losses per utterance (U,), whose utterances all have one frame."""
    ones = np.ones(len(ours))
    return find_gain(
        "loss",
        np.stack([ours, ones], 1),
        np.stack([theirs, ones], 1),
        speakers or [""] * len(ours),
        mean_of,
        is_lower_better=True,
        confidence=confidence,
    )


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_of_a_mean_is_that_of_the_normal_distribution(confidence: float) -> None:
    """The pairs differ by little, the utterances by much: an interval that is not paired would be 10 times as wide."""
    rng = np.random.default_rng(1)
    theirs = rng.normal(5, 10, 500)
    ours = theirs - rng.normal(0.3, 1, 500)
    found = gain_of(ours, theirs, confidence=confidence)
    difference = theirs - ours
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * difference.std() / np.sqrt(500)
    assert found.gain == pytest.approx(difference.mean())
    assert (found.ours, found.theirs) == pytest.approx((ours.mean(), theirs.mean()))
    assert found.low == pytest.approx(difference.mean() - half, abs=0.05 * half)
    assert found.high == pytest.approx(difference.mean() + half, abs=0.05 * half)
    assert (found.unit, found.num_utterances, found.num_blocks) == ("utterances", 500, 500)


def test_a_ratio_is_of_the_sums_and_its_interval_of_draws_of_whole_utterances() -> None:
    """Utterances have different lengths. The reference draws them one at a time."""
    rng = np.random.default_rng(2)
    frames = rng.integers(10, 1000, 60).astype(float)
    theirs, ours = (frames * rng.normal(mean, 0.3, 60) for mean in (3.0, 2.9))
    found = find_gain(
        "loss",
        np.stack([ours, frames], 1),
        np.stack([theirs, frames], 1),
        [""] * 60,
        mean_of,
        is_lower_better=True,
        confidence=0.9,
    )
    draws = [rng.integers(0, 60, 60) for _ in range(20_000)]
    gains = [(theirs[draw].sum() - ours[draw].sum()) / frames[draw].sum() for draw in draws]
    low, high = np.quantile(gains, [0.05, 0.95])
    assert found.gain == pytest.approx((theirs.sum() - ours.sum()) / frames.sum())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.04 * (high - low))


def test_speakers_are_drawn_whole_where_there_are_enough() -> None:
    """All utterances of a speaker say the same: there are as many independent ones as there are speakers."""
    rng = np.random.default_rng(3)
    of_speaker = rng.normal(0.2, 1, 100)
    gains, speakers = of_speaker.repeat(25), [f"s{number:03d}" for number in range(100) for _ in range(25)]
    found = gain_of(np.zeros(2500), gains, speakers)
    half = NormalDist().inv_cdf(0.95) * of_speaker.std() / 10
    assert (found.unit, found.num_blocks) == ("speakers", 100)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.07)
    unknown = gain_of(np.zeros(2500), gains)
    assert unknown.unit == "utterances"
    assert unknown.high - unknown.low == pytest.approx((found.high - found.low) / 5, rel=0.1)


def test_few_speakers_are_not_drawn() -> None:
    speakers = [f"s{number % (FEWEST_SPEAKERS - 1)}" for number in range(100)]
    assert gain_of(np.zeros(100), np.ones(100), speakers).unit == "utterances"
    assert gain_of(np.zeros(100), np.ones(100), [*speakers[:-1], "another"]).unit == "speakers"
    assert gain_of(np.zeros(100), np.ones(100), ["who", *[""] * 99]).unit == "utterances"  # who is unknown is not many


def test_a_model_gains_nothing_over_itself_and_the_sign_follows_the_metric() -> None:
    losses = np.random.default_rng(4).normal(3, 1, 50)
    same = gain_of(losses, losses)
    assert (same.gain, same.low, same.high) == (0, 0, 0)
    assert gain_of(losses - 1, losses).low == pytest.approx(1)
    sums = np.stack([losses, np.ones(50)], 1)
    better = sums + np.array([1, 0])
    more = find_gain("accuracy", better, sums, [""] * 50, mean_of, is_lower_better=False, confidence=0.95)
    assert more.low == pytest.approx(1)
    assert "of M:1 on the same 50 utterances: gain +1.0000, 0.95 interval +1.0000 to +1.0000" in more.show("M:1")


def test_the_same_figures_give_the_same_interval() -> None:
    rng = np.random.default_rng(5)
    ours, theirs = rng.normal(3, 1, 40), rng.normal(3, 1, 40)
    assert gain_of(ours, theirs) == gain_of(ours, theirs)


def test_pnmi_of_summed_counts_is_that_of_the_labels_stage() -> None:
    rng = np.random.default_rng(6)
    tables = rng.integers(0, 50, (4, 3, 7)) * rng.integers(0, 2, (4, 3, 7))
    tables[3] = 0
    found = pnmi_of(tables.reshape(4, -1).astype(float), 3)
    expected = [JointCounts(("a", "b", "c"), table).quality().pnmi for table in tables]
    assert found == pytest.approx(expected)
    assert found[:3].min() > 0.01
