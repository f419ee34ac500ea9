"""Texts as numbers: equal for equal texts alone, and a repeated text is named."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from wavlm.storage.texts import Among, find_later, find_repeated, find_repeats, hash_texts

NAMES = [*(f"k{number}" for number in range(20_000)), "", "é", "e", "ab", "ba", "ab\0", "\0ab", "K1"]


def test_different_texts_have_different_numbers() -> None:
    assert len(np.unique(hash_texts(pa.array(NAMES)))) == len(NAMES)


def test_the_number_of_a_text_depends_on_nothing_beside_it() -> None:
    whole = hash_texts(pa.array(NAMES))
    pieces = pa.chunked_array([NAMES[:7], [], NAMES[7:9000], NAMES[9000:]], pa.string())
    np.testing.assert_array_equal(hash_texts(pieces), whole)
    np.testing.assert_array_equal(hash_texts(pa.array(NAMES).slice(123, 4567)), whole[123 : 123 + 4567])
    np.testing.assert_array_equal(hash_texts(pa.array(NAMES[::-1])), whole[::-1])


def test_another_salt_gives_other_numbers() -> None:
    texts = pa.array([name for name in NAMES if name])
    one, other = hash_texts(texts), hash_texts(texts, salt=1)
    assert not np.intersect1d(one, other).size
    np.testing.assert_array_equal(hash_texts(texts, salt=1), other)


def test_a_number_that_has_stood_there_before_is_found() -> None:
    assert find_later(np.array([3, 1, 3, 2, 1, 3], np.uint64)).tolist() == [False, False, True, False, True, True]
    assert not find_later(np.array([3, 1, 2], np.uint64)).any()
    assert not len(find_later(np.zeros(0, np.uint64)))


def test_a_number_is_the_same_in_every_run_and_version() -> None:
    """Numbers lie in no file, but parts of a stage compare them with each other, perhaps on two machines."""
    assert hash_texts(pa.array(["a", "b"])).tolist() == hash_texts(pa.array(["a", "b"], pa.large_string())).tolist()
    assert hash_texts(pa.array([None, ""], pa.string())).tolist() == [0, 0]
    assert len(hash_texts(pa.array([], pa.string()))) == 0


@pytest.mark.parametrize("twice", [[], ["k5"], ["é", "", "k19999"]])
def test_what_stands_there_twice_is_named_in_order(twice: list[str]) -> None:
    column = pa.array([*twice, *NAMES])
    reads = []

    def read() -> list[pa.Array]:
        reads.append(1)
        return [column.slice(0, 100), column.slice(100)]

    assert find_repeats(hash_texts(column), read) == sorted(twice)
    assert len(reads) == bool(twice)  # nothing is read for nothing


def test_numbers_that_meet_by_chance_are_no_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavlm.storage.texts._hash_step", lambda texts, _: np.zeros(len(texts), np.uint64))
    column = pa.array(["one", "two", "two"])
    assert find_repeats(hash_texts(column), lambda: [column]) == ["two"]


def test_known_numbers_are_found_and_no_others() -> None:
    rng = np.random.default_rng(0)
    known, others = rng.integers(0, 2**64, (2, 5000), np.uint64)
    near = known ^ np.uint64(1 << 40)  # the same in the bits of the table
    for ordered in (known, known[:0]):
        found = Among(ordered).find(np.concatenate([known, others, near]))
        assert found.tolist() == [*np.isin(known, ordered), *[False] * 10_000]
    assert find_repeated(np.array([3, 1, 3, 2, 1, 3], np.uint64)).tolist() == [1, 3]
