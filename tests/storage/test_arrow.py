"""Arrow arrays as numpy ones and back: the same values, whatever piece of an array it is, and none that is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from wavlm.storage.arrow import (
    bytes_of_texts,
    ends_of_texts,
    find_text,
    from_mask,
    from_numbers,
    to_mask,
    to_numbers,
)

PIECES = [(0, 20), (3, 9), (8, 0), (20, 0), (7, 13)]


@pytest.mark.parametrize(("start", "length"), PIECES)
@pytest.mark.parametrize("kind", [pa.int16(), pa.int32(), pa.int64(), pa.uint64(), pa.float64()])
def test_numbers_of_any_piece_of_an_array_are_those_that_python_sees(
    kind: pa.DataType, start: int, length: int
) -> None:
    piece = pa.array(range(20), kind).slice(start, length)
    assert to_numbers(piece).tolist() == piece.to_pylist()
    assert from_numbers(to_numbers(piece)).equals(piece)


@pytest.mark.parametrize(("start", "length"), PIECES)
def test_truth_values_of_any_piece_of_an_array_are_those_that_python_sees(start: int, length: int) -> None:
    piece = pa.array([number % 3 == 0 for number in range(20)]).slice(start, length)
    assert to_mask(piece).tolist() == piece.to_pylist()
    assert from_mask(to_mask(piece)).equals(piece)


@pytest.mark.parametrize(("start", "length"), PIECES)
def test_bytes_and_ends_of_any_piece_of_texts_are_those_that_python_sees(start: int, length: int) -> None:
    texts = ["é" * (number % 4) for number in range(20)]
    piece = pa.array(texts).slice(start, length)
    encoded = [text.encode() for text in texts[start : start + length]]
    assert bytes_of_texts(piece).tobytes() == b"".join(encoded)
    assert np.diff(ends_of_texts(piece)).tolist() == list(map(len, encoded))


def test_a_text_is_found_in_a_dictionary_that_has_it_twice_or_not_at_all() -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 0], pa.int32()), pa.array(["train", "valid", "train"]))
    assert find_text(texts, "train").tolist() == [True, False, True, True]
    assert not find_text(texts, "test").any()


@pytest.mark.parametrize(
    ("read", "values"), [(to_numbers, [1, None]), (to_mask, [True, None]), (ends_of_texts, ["a", None])]
)
def test_what_is_missing_is_refused(read: Callable[[pa.Array], Any], values: list[Any]) -> None:
    with pytest.raises(ValueError, match="1 of 2 values are missing"):
        read(pa.array(values))
