"""Named random numbers: SplitMix64 as published, decided by the names alone, uniform and uncorrelated."""

from __future__ import annotations

import numpy as np
import pytest

from wavlm.rng import advance, rng_for, seed_for, stream_seeds, uniforms

pytestmark = pytest.mark.numeric

NAMES = ("sample", 7)
KEYS = [f"key {number}" for number in range(300)]


def splitmix64(state: int, count: int) -> list[int]:
    """The first outputs of SplitMix64, one after the other in Python's integers, as its authors write it."""
    outputs = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        mixed = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
        outputs.append(mixed ^ mixed >> 31)
    return outputs


def test_the_reference_gives_the_published_outputs() -> None:
    assert splitmix64(1234567, 5) == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_numbers_are_the_upper_53_bits_of_splitmix64() -> None:
    for key, numbers in zip(KEYS, uniforms(stream_seeds(5, NAMES, KEYS), 40), strict=True):
        expected = [output >> 11 for output in splitmix64(seed_for(5, *NAMES, key), 40)]
        assert (numbers * 2**53).astype(np.int64).tolist() == expected


def test_numbers_depend_on_seed_and_names_alone() -> None:
    together = uniforms(stream_seeds(5, NAMES, KEYS), 9)
    for row in (0, 17, 299):
        np.testing.assert_array_equal(uniforms(stream_seeds(5, NAMES, [KEYS[row]]), 800)[0, :9], together[row])
    assert len(np.unique(together)) == together.size
    for other in (("sample", 8), ("sample",), ("sam", "ple", 7)):
        assert not np.isin(uniforms(stream_seeds(5, other, KEYS), 9), together).any()
    assert not np.isin(uniforms(stream_seeds(6, NAMES, KEYS), 9), together).any()


def test_advanced_seeds_continue_the_numbers() -> None:
    begin = stream_seeds(5, NAMES, KEYS)
    np.testing.assert_array_equal(uniforms(advance(begin, 9), 31), uniforms(begin, 40)[:, 9:])


def test_no_paths_and_no_numbers_give_empty_arrays() -> None:
    assert uniforms(stream_seeds(0, NAMES, []), 3).shape == (0, 3)
    assert uniforms(stream_seeds(0, NAMES, KEYS), 0).shape == (300, 0)


def test_numbers_are_uniform_in_each_column_and_unrelated_between_them() -> None:
    keys = [f"key {number}" for number in range(20_000)]
    numbers = uniforms(stream_seeds(0, NAMES, keys), 12)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    for column in numbers.T:
        counts = np.histogram(column, 100, (0, 1))[0]
        # chi-squared with 99 degrees of freedom is above 160 once in 10,000 times
        assert (np.square(counts - 200) / 200).sum() < 160
    related = np.corrcoef(numbers.T) - np.eye(12)
    assert np.abs(related).max() < 5 / np.sqrt(20_000)


@pytest.mark.parametrize("names", [("mask", 1), ("mask", "1", ""), ("mas", "k", 1)])
def test_other_names_give_another_generator(names: tuple[str | int, ...]) -> None:
    assert rng_for(0, "mask", 11).random() != rng_for(0, *names).random()
