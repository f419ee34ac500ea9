"""Named randomness: the same names give the same numbers, whoever asks and in whatever order."""

from __future__ import annotations

import hashlib

import numpy as np


def seed_for(seed: int, *names: str | int) -> int:
    """A 64-bit seed from a seed and a path of names, e.g. (0, "mix", epoch, key)."""
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def rng_for(seed: int, *names: str | int) -> np.random.Generator:
    """A Philox generator of its own for this seed and these names."""
    return np.random.Generator(np.random.Philox(seed_for(seed, *names)))
