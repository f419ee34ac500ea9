"""Fake recordings and utterances: tables like those of the stages, made fast, and without audio."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

STEP = 100_000
PER_SPEAKER = 500
PER_SHARD = 2000


def number_texts(numbers: np.ndarray, form: str) -> pa.Array:
    """Names of numbers, such as `utt-000000012`."""
    return pa.array([form % number for number in numbers.tolist()])


def fake_sha256s(numbers: np.ndarray) -> pa.Array:
    """64 hex digits for each number, which differ."""
    high = np.random.default_rng(0).integers(0, 2**63, 3)
    return pa.array([f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{high[0]:016x}{high[1]:016x}{high[2]:016x}"
                     for number in numbers.tolist()])
