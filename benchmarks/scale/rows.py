"""Fake recordings and utterances: tables like those of the stages, made fast, and without audio."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

STEP = 100_000
PER_SPEAKER = 500
SECONDS = 12
RATE_HZ = 16_000
HEX = np.frombuffer(b"0123456789abcdef", np.uint8)

Integers = npt.NDArray[np.int64]


def steps(size: int) -> Iterator[Integers]:
    """The numbers from 0 to a size, some at a time."""
    return (np.arange(start, min(start + STEP, size)) for start in range(0, size, STEP))


def name_numbers(prefix: str, numbers: Integers, suffix: str = "") -> pa.Array:
    """Texts such as `utt-000000012`: a prefix, nine digits, a suffix."""
    digits = numbers[:, None] // 10 ** np.arange(8, -1, -1) % 10 + ord("0")
    ends = [np.tile(np.frombuffer(text.encode(), np.uint8), (len(numbers), 1)) for text in (prefix, suffix)]
    return _texts(np.hstack([ends[0], digits.astype(np.uint8), ends[1]]))


def repeat(text: str, count: int) -> pa.Array:
    """The same text for all rows."""
    return pa.array([text]).take(pa.array(np.zeros(count, np.int32)))


def fake_sha256s(numbers: Integers, salt: int = 0) -> pa.Array:
    """64 hex digits for each number, which differ. They depend on the number and the salt alone."""
    rng = np.random.default_rng([int(numbers[0]) if len(numbers) else 0, salt])
    return _texts(HEX[rng.integers(0, 16, (len(numbers), 64))])


def fake_lengths(numbers: Integers) -> Integers:
    """Samples of each utterance: 2 to 22 s, 12 s in the mean."""
    return (2 * RATE_HZ + numbers * 7919 % (20 * RATE_HZ)).astype(np.int64)


def _texts(letters: npt.NDArray[np.uint8]) -> pa.Array:
    count, length = letters.shape
    offsets = np.arange(0, (count + 1) * length, length, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(letters)))
