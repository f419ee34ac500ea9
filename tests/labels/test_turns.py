"""Turns of speakers: the beginning of an order that is never made as a whole."""

from __future__ import annotations

import numpy as np
import pytest

from wavlm.labels.turns import Turns, shuffle
from wavlm.rng import rng_for


def order_whole(speaker: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The whole order as it was made for every codebook before: with arrays of all utterances."""
    shuffled = rng.permutation(len(speaker))
    by_speaker = shuffled[np.argsort(speaker[shuffled], kind="stable")]
    _, first, counts = np.unique(speaker[by_speaker], return_index=True, return_counts=True)
    turn = np.arange(len(speaker)) - np.repeat(first, counts)
    speaker_rank = np.repeat(rng.permutation(len(counts)), counts)
    return by_speaker[np.lexsort((speaker_rank, turn))]


def test_every_speaker_has_one_utterance_before_any_has_a_second_one() -> None:
    speaker = np.repeat([5, 8, 9], [50, 3, 2]).astype(np.int32)
    order = Turns(speaker, rng_for(0)).first(55)
    assert sorted(order) == list(range(55))
    assert [set(speaker[order][k : k + 3]) for k in (0, 3)] == [{5, 8, 9}] * 2
    assert set(speaker[order][6:8]) == {5, 8}
    assert not np.array_equal(order, Turns(speaker, rng_for(1)).first(55))


@pytest.mark.parametrize("num_speakers", [1, 7, 900, 10**6])
@pytest.mark.parametrize("step", [1000, 1 << 16])
def test_the_beginning_is_that_of_the_whole_order(
    num_speakers: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavlm.labels.turns.STEP", step)
    monkeypatch.setattr("wavlm.labels.turns.RANGE_ROWS", 2 * step)
    speaker = np.random.default_rng(3).integers(0, num_speakers, 5000)
    expected = order_whole(speaker, rng_for(4, "sample", 0))
    turns = Turns(speaker.astype(np.int32), rng_for(4, "sample", 0))
    for count in (0, 1, 2500, 5000):
        np.testing.assert_array_equal(turns.first(count), expected[:count])


def test_a_small_permutation_is_that_of_the_generator() -> None:
    np.testing.assert_array_equal(shuffle(12345, rng_for(1)), rng_for(1).permutation(12345))


def test_of_nobody_there_is_no_order() -> None:
    assert len(Turns(np.zeros(0, np.int32), rng_for(0)).first(0)) == 0
