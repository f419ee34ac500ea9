"""Many paths, compared as numbers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice

import numpy as np
import pyarrow as pa

from wavlm.storage.texts import Among, Hashes, distinct, hash_texts

STEP_PATHS = 10_000


def match_paths(used: Iterable[str], found: Iterable[str]) -> tuple[int, bytes]:
    """How many paths are used, each counted once; and for each path that was found 1 if it is used, else 0.

    No path is found twice.
    """
    taken = distinct(_hash_paths(used))
    return len(taken), Among(taken).find(_hash_paths(found)).tobytes()


def _hash_paths(paths: Iterable[str]) -> Hashes:
    """A number per path, as the system spells it."""
    rest = map(os.fsencode, paths)
    steps = [np.zeros(0, np.uint64)]
    while some := list(islice(rest, STEP_PATHS)):
        steps.append(hash_texts(pa.array(some, pa.binary())))
    return np.concatenate(steps)
