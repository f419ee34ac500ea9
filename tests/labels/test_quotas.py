"""How many frames come from which corpus and utterance: exact sums, fair shares."""

from __future__ import annotations

import numpy as np
import pytest

from wavlm.labels.quotas import allot_corpora, allot_utterances


@pytest.mark.parametrize(
    ("num_frames", "available", "weights", "expected"),
    [
        (100, [1000, 3000], [1.0, 3.0], [25, 75]),
        (100, [1000, 3000], [1.0, 1.0], [50, 50]),
        (10, [1000, 1000, 1000], [1.0, 1.0, 1.0], [4, 3, 3]),  # the sum is exact
        (100, [10, 3000, 3000], [1.0, 1.0, 1.0], [10, 45, 45]),  # what one lacks, the others give
        (100, [10, 20, 3000], [0.8, 0.1, 0.1], [10, 20, 70]),
        (100, [10, 20, 0], [1.0, 1.0, 1.0], [10, 20, 0]),
        (100, [10, 500], [1.0, 0.0], [10, 0]),
        (0, [10, 500], [1.0, 1.0], [0, 0]),
        (100, [0, 0], [0.0, 0.0], [0, 0]),
    ],
)
def test_corpora_get_their_shares_and_no_more_than_they_have(
    num_frames: int, available: list[int], weights: list[float], expected: list[int]
) -> None:
    found = allot_corpora(num_frames, np.array(available), np.array(weights))
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("lengths", "quota", "per_utterance", "expected"),
    [
        ([500, 500, 500], 160, 80, [80, 80]),
        ([500, 30, 500, 500], 150, 80, [80, 30, 40]),
        ([500, 30, 500], 300, 80, [135, 30, 135]),  # all utterances have too few: each gives more
        ([500, 30, 500], 301, 80, [136, 30, 135]),
        ([50, 30], 1000, 80, [50, 30]),
        ([500], 0, 80, []),
        ([], 10, 80, []),
    ],
)
def test_utterances_give_few_frames_each_and_more_only_if_there_are_too_few(
    lengths: list[int], quota: int, per_utterance: int, expected: list[int]
) -> None:
    assert allot_utterances(np.array(lengths, np.int64), quota, per_utterance).tolist() == expected


def test_sums_are_exact_for_any_corpora_and_utterances() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        available = rng.integers(0, 400, rng.integers(1, 6))
        weights = rng.uniform(0.01, 5, len(available))
        num_frames = int(rng.integers(0, 1500))
        quotas = allot_corpora(num_frames, available, weights)
        assert quotas.sum() == min(num_frames, available.sum())
        assert (quotas <= available).all()
        lengths = rng.integers(0, 90, rng.integers(1, 30))
        counts = allot_utterances(lengths, num_frames, int(rng.integers(1, 40)))
        assert counts.sum() == min(num_frames, lengths.sum())
        assert (counts <= lengths[: len(counts)]).all()
        assert (counts >= 0).all()
