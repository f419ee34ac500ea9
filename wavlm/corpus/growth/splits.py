"""The splits of recordings, and why some are in none, as numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Codes = npt.NDArray[np.int8]

TEST_SPLIT = "TEST_SPLIT"  # why a recording is in neither split: its publisher says that it is for tests
SPLITS = (
    "train",
    "valid",
    TEST_SPLIT,
    "REGION_TWICE",
    "COPY_OF_VALID",
    "OVERLAPS_VALID",
    # Of what came before, and has been trained on:
    "COPY_OF_TRAIN",
    "OVERLAPS_TRAIN",
)
TRAIN, VALID, TEST, TWICE, COPY, OVERLAP, COPY_OF_TRAIN, OVERLAPS_TRAIN = range(len(SPLITS))
NOWHERE = -1  # a recording that a generation does not have
OTHER: Mapping[int, int] = {TRAIN: VALID, VALID: TRAIN}


def name_splits(codes: Codes) -> pa.Array:
    """The names of splits, given their numbers."""
    return pa.array(SPLITS).take(pa.array(codes))


def number_splits(names: pa.Array) -> Codes:
    """The numbers of splits, given their names. Raises ValueError for another name."""
    coded = names.dictionary_encode()
    numbers = np.array([SPLITS.index(name) for name in coded.dictionary.to_pylist()], np.int8)
    found: Codes = numbers[coded.indices.to_numpy()]
    return found
