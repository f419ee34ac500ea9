"""How often utterances are drawn: exactly as often as asked, in every epoch and in all together, without a bias."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from wavlm.loader.draws import DrawPlan

TIMES = (0.0, 0.037, 0.5, 1.0, 2.61, 7.0, 40 / 3)
SIZES = (50, 1000, 7, 3, 100, 2, 9)
GROUPS = np.random.default_rng(0).permutation(np.repeat(np.arange(len(SIZES)), SIZES))


def plan(seed: int = 0) -> DrawPlan:
    return DrawPlan(GROUPS, TIMES, seed)


@pytest.mark.parametrize("first", [0, 5, 123_456_789])
@pytest.mark.parametrize("epochs", [1, 3, 40])
def test_an_utterance_is_drawn_floor_or_ceil_of_its_times_in_any_epochs(first: int, epochs: int) -> None:
    counts = np.sum([plan().counts(first + number) for number in range(epochs)], axis=0)
    for group, times in enumerate(TIMES):
        exact = epochs * Fraction(times).limit_denominator(10**6)
        assert set(counts[group == GROUPS]) <= {math.floor(exact), math.ceil(exact)}, (group, times)


def test_the_draws_of_a_group_are_as_exact_as_those_of_an_utterance() -> None:
    for epoch in range(60):
        counts = plan().counts(epoch)
        for group, (times, size) in enumerate(zip(TIMES, SIZES, strict=True)):
            assert abs(counts[group == GROUPS].sum() - times * size) <= 1 + 1e-6, (epoch, group)


def test_no_utterance_is_drawn_rather_than_another() -> None:
    """Over seeds, the share of epochs with one draw more is the fraction: within 4.5 deviations of a binomial."""
    seeds, chosen = 1500, np.flatnonzero(GROUPS == 4)
    more = np.array([plan(seed).counts(3)[chosen] - 2 for seed in range(seeds)])
    deviation = math.sqrt(0.61 * 0.39 / seeds)
    assert np.abs(more.mean(0) - 0.61).max() < 4.5 * deviation
    together = np.corrcoef(more[:, 0], more[:, 1])[0, 1]  # evenly spaced phases: -1 / 99 in the mean
    assert abs(together) < 4.5 / math.sqrt(seeds)


def test_epochs_draw_different_utterances_until_all_are_drawn() -> None:
    group = GROUPS == 1
    first, second = (plan().counts(epoch)[group] for epoch in (0, 1))
    assert not (first & second).any()
    assert (np.sum([plan().counts(epoch)[group] for epoch in range(28)], axis=0) >= 1).all()  # 28 > 1 / 0.037


def test_draws_of_an_utterance_are_numbered() -> None:
    drawn = plan().draw(2)
    counts = plan().counts(2)
    np.testing.assert_array_equal(np.bincount(drawn.utterances, minlength=len(counts)), counts)
    for utterance in np.flatnonzero(counts)[:50]:
        mine = drawn.utterances == utterance
        assert sorted(drawn.repeats[mine]) == list(range(counts[utterance]))
        assert set(drawn.counts[mine]) == {counts[utterance]}


def test_draws_of_an_utterance_are_spread_evenly() -> None:
    drawn = plan().draw(0)
    places = drawn.places(np.random.default_rng(1))
    np.testing.assert_array_equal(np.floor(places * drawn.counts), drawn.repeats)  # the k-th in the k-th part


def test_the_fingerprint_tells_other_times_and_other_groups_apart() -> None:
    prints = {
        plan().fingerprint,
        DrawPlan(GROUPS, (*TIMES[:-1], 13.0), 0).fingerprint,
        DrawPlan(np.roll(GROUPS, 1), TIMES, 0).fingerprint,
    }
    assert len(prints) == 3
    assert plan().fingerprint in prints
