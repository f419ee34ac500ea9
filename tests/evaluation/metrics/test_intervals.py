"""Intervals: Wilson's against tables and scipy, the bootstrap against formulas and draws of one's own."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import binomtest

from wavlm.errors import BadDataError
from wavlm.evaluation.metrics.intervals import Sides, interval_of_sums, interval_of_trials, wilson_interval
from wavlm.evaluation.metrics.verification import eer, rank_trials

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize(("right", "total"), [(0, 10), (10, 10), (1, 29), (81, 263), (2, 3)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilsons_interval_is_that_of_scipy(right: int, total: int, confidence: float) -> None:
    found = wilson_interval(right, total, confidence)
    expected = binomtest(right, total).proportion_ci(confidence, method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.value == right / total
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert (found.method, found.num_units, found.unit) == ("wilson", total, "trials")


def test_wilsons_interval_has_the_published_values() -> None:
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3: 81/263, 15/148, 0/20, 1/29."""
    table = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0, 0.1611), (1, 29): (0.0061, 0.1718)}
    for (right, total), ends in table.items():
        found = wilson_interval(right, total)
        assert (found.low, found.high) == pytest.approx(ends, abs=5e-5)


def mean_of(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = interval_of_sums(np.stack([values, np.ones(400)], 1), [""] * 400, mean_of)
    half = NormalDist().inv_cdf(0.975) * values.std() / 20
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.06 * half)
    assert found.value == pytest.approx(values.mean())
    assert (found.unit, found.num_units, found.method, found.confidence) == ("utterances", 400, "bootstrap", 0.95)


def test_whole_speakers_are_drawn_where_there_are_enough() -> None:
    """All utterances of a speaker are alike: the interval is that of 50 values, five times as wide as that of 1,250."""
    of_speaker = np.random.default_rng(2).normal(0, 1, 50)
    numbers = np.stack([of_speaker.repeat(25), np.ones(1250)], 1)
    speakers = [f"s{number}" for number in range(50) for _ in range(25)]
    by_speaker, by_utterance = (interval_of_sums(numbers, names, mean_of) for names in (speakers, [""] * 1250))
    assert (by_speaker.unit, by_speaker.num_units, by_utterance.unit) == ("speakers", 50, "utterances")
    ratio = (by_speaker.high - by_speaker.low) / (by_utterance.high - by_utterance.low)
    assert ratio == pytest.approx(5, rel=0.1)


def test_of_mixtures_all_voices_are_drawn() -> None:
    """All pairs of K voices, of which each adds its own value: the mean is twice the voices' mean, so its deviation
    is 2 s / sqrt(K). Draws of the first voice alone would leave half of it.
    """
    values = np.random.default_rng(3).normal(0, 1, 60)
    left, right = np.triu_indices(60, 1)
    numbers = np.stack([values[left] + values[right], np.ones(len(left))], 1)
    names = [(f"s{a}", f"s{b}") for a, b in zip(left, right, strict=True)]
    found = interval_of_sums(numbers, names, mean_of)
    half = NormalDist().inv_cdf(0.975) * 2 * values.std() / np.sqrt(60)
    assert (found.unit, found.num_units) == ("speakers", 60)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.08)
    few = [(f"s{a % 10}", f"s{b % 10 + 5}") for a, b in zip(left, right, strict=True)]
    assert interval_of_sums(numbers, few, mean_of) == interval_of_sums(numbers, [""] * len(left), mean_of)


def verification_trials(num_speakers: int) -> tuple[Sides, np.ndarray, np.ndarray]:
    """All pairs of four recordings of each speaker; recordings of a speaker are alike to a degree of its own."""
    rng = np.random.default_rng(4)
    names = [f"s{number:02d}" for number in range(num_speakers) for _ in range(4)]
    vectors = {name: rng.normal(size=8) * rng.uniform(0.5, 2) for name in dict.fromkeys(names)}
    found = np.stack([vectors[name] + rng.normal(size=8) for name in names])
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    left, right = np.triu_indices(len(names), 1)
    sides = Sides(
        keys=([f"u{number}" for number in left], [f"u{number}" for number in right]),
        speakers=([names[number] for number in left], [names[number] for number in right]),
    )
    is_target = np.array([ours == theirs for ours, theirs in zip(*sides.speakers, strict=True)])
    return sides, (found[left] * found[right]).sum(axis=1), is_target


def test_speakers_are_drawn_with_their_trials() -> None:
    """The reference draws speakers and writes their trials anew. A copy of a speaker is another speaker to itself, but
    such pairs are left out."""
    sides, scores, is_target = verification_trials(30)
    ranked = rank_trials(scores, is_target)
    found = interval_of_trials(sides, lambda weights: ranked.curve(weights).eer())
    assert found.value == eer(scores, is_target)
    assert (found.unit, found.num_units) == ("speakers", 30)
    rng = np.random.default_rng(5)
    speakers = sorted(set(sides.speakers[0]))
    pairs = np.array([[speakers.index(name) for name in side] for side in sides.speakers])
    draws = []
    for _ in range(300):
        copies = np.bincount(rng.integers(0, 30, 30), minlength=30)
        times = np.where(pairs[0] == pairs[1], copies[pairs[0]], copies[pairs[0]] * copies[pairs[1]])
        draws.append(eer(scores.repeat(times), is_target.repeat(times)))
    low, high = np.quantile(draws, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.15 * (high - low))


def test_a_trial_counts_as_often_as_both_of_its_speakers() -> None:
    """A trial within a speaker counts as often as that speaker is drawn, one between two as the product."""
    names = [f"s{number:02d}" for number in range(20)]
    left, right = [*names, "s00", "s01"], [*names, "s01", "s02"]
    drawn: list[np.ndarray] = []

    def keep(weights: np.ndarray) -> float:
        drawn.append(weights)
        return float(weights[0])

    interval_of_trials(Sides((left, right), (left, right)), keep)
    times = np.stack(drawn)
    assert (times[:, :20].sum(axis=1) == 20).all()
    assert (times[:, 20] == times[:, 0] * times[:, 1]).all()
    assert (times[:, 21] == times[:, 1] * times[:, 2]).all()
    assert times[:, 20].max() > 1


def test_recordings_are_drawn_where_speakers_are_few_or_unknown() -> None:
    sides, scores, is_target = verification_trials(6)
    ranked = rank_trials(scores, is_target)
    few = interval_of_trials(sides, lambda weights: ranked.curve(weights).eer())
    assert (few.unit, few.num_units) == ("utterances", 24)
    assert few.low < few.value < few.high
    sides, scores, is_target = verification_trials(20)
    unknown = Sides(sides.keys, (["", *sides.speakers[0][1:]], sides.speakers[1]))
    ranked = rank_trials(scores, is_target)
    by_recording = interval_of_trials(unknown, lambda weights: ranked.curve(weights).eer())
    assert (by_recording.unit, by_recording.num_units) == ("utterances", 80)


def test_the_same_input_gives_the_same_interval() -> None:
    sides, scores, is_target = verification_trials(6)
    ranked = rank_trials(scores, is_target)
    one, two = (interval_of_trials(sides, lambda weights: ranked.curve(weights).eer()) for _ in range(2))
    assert one == two
    numbers = np.random.default_rng(6).uniform(1, 2, (30, 2))
    assert interval_of_sums(numbers, [""] * 30, mean_of) == interval_of_sums(numbers, [""] * 30, mean_of)


def test_what_has_no_interval_is_refused() -> None:
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: interval: no trial"):
        wilson_interval(0, 0)
    with pytest.raises(ValueError, match="found 3 of 2"):
        wilson_interval(3, 2)
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: interval: 1 of utterances; expected at least 2"):
        interval_of_sums(np.ones((1, 2)), [""], mean_of)
    one_target = Sides((["a", "b"], ["c", "d"]), (["", ""], ["", ""]))
    ranked = rank_trials([1.0, 0.0], [True, False])
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: interval: too many draws of 4 utterances have no value"):
        interval_of_trials(one_target, lambda weights: ranked.curve(weights).eer())
