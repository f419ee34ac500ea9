"""Arrow arrays as numpy ones and back, on the same memory, without pandas.

pyarrow's own `to_numpy` and `pa.array` import pandas if it is installed: 0.2 s of CPU time and 27 MB in every process
(pyarrow 25.0.1), which a trainer has no other use for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Numbers = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

_DTYPES = {getattr(pa, name)(): np.dtype(name) for name in ("int8", "int16", "int32", "int64", "uint64", "float64")}
_TYPES = {dtype: kind for kind, dtype in _DTYPES.items()}


def to_numbers(array: pa.Array, missing: int | None = None) -> Numbers:
    """The numbers of an array, (values,). Raises ValueError if one is missing, unless it is said what it counts as."""
    if array.type not in _DTYPES:
        raise ValueError(f"found a column of {array.type}, expected one of {', '.join(map(str, _DTYPES))}")
    found = _view(array.buffers()[1], _DTYPES[array.type], array.offset, len(array))
    if missing is None:
        _refuse_missing(array)
        return found
    return found if not array.null_count else np.where(to_mask(array.is_valid()), found, missing)


def to_mask(array: pa.BooleanArray) -> Mask:
    """The truth values of an array, (values,). Raises ValueError if one is missing."""
    _refuse_missing(array)
    if not len(array):
        return np.zeros(0, np.bool_)
    bits = np.frombuffer(array.buffers()[1], np.uint8)
    return np.unpackbits(bits, count=array.offset + len(array), bitorder="little")[array.offset :].view(np.bool_)


def from_numbers(values: Numbers) -> pa.Array:
    """An array of the numbers (values,)."""
    return pa.Array.from_buffers(_TYPES[values.dtype], len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def from_mask(mask: Mask) -> pa.BooleanArray:
    """An array of the truth values (values,)."""
    return pa.Array.from_buffers(pa.bool_(), len(mask), [None, pa.py_buffer(np.packbits(mask, bitorder="little"))])


def bytes_of_texts(texts: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes of all texts (texts,), one behind the other."""
    ends = ends_of_texts(texts)
    return _view(texts.buffers()[2], np.dtype(np.uint8), int(ends[0]), int(ends[-1] - ends[0]))


def ends_of_texts(texts: pa.Array) -> npt.NDArray[np.int32]:
    """Where each text ends in the buffer of all; before them where the first begins: (texts + 1,).

    Raises ValueError if one is missing.
    """
    _refuse_missing(texts)
    if not len(texts):
        return np.zeros(1, np.int32)
    return _view(texts.buffers()[1], np.dtype(np.int32), texts.offset, len(texts) + 1)


def find_text(texts: pa.Array, text: str) -> Mask:
    """Which of the texts (texts,), each given by a number in a dictionary, is this one."""
    is_it = np.array([found == text for found in texts.dictionary.to_pylist()], np.bool_)
    return is_it[to_numbers(texts.indices)]


def _view(buffer: pa.Buffer | None, dtype: np.dtype[Any], begin: int, count: int) -> Numbers:
    if buffer is None or not count:
        return np.empty(0, dtype)
    return np.frombuffer(buffer, dtype, count, begin * dtype.itemsize)


def _refuse_missing(array: pa.Array) -> None:
    if array.null_count:
        raise ValueError(f"{array.null_count} of {len(array)} values are missing, expected none")
