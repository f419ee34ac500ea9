"""Named randomness: the same names give the same numbers, whoever asks and in whatever order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def seed_for(seed: int, *names: str | int) -> int:
    """A 64-bit seed from a seed and a path of names, e.g. (0, "mix", epoch, key)."""
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def rng_for(seed: int, *names: str | int) -> np.random.Generator:
    """A Philox generator of its own for this seed and these names."""
    return np.random.Generator(np.random.Philox(seed_for(seed, *names)))


def uniforms(seed: int, paths: Iterable[Sequence[str | int]], count: int) -> Numbers:
    """So many numbers in [0, 1) for each of these paths of names, (P, count).

    What few numbers for each of many utterances need: no generator is made, and the numbers of all
    paths are computed together. Those of a path depend on the seed and its names alone, and begin
    alike whatever `count` is.

    Number n of a path is the upper 53 bits of output n of SplitMix64 (Steele, Lea and Flood 2014,
    doi 10.1145/2660193.2660195) with `seed_for` of the path as its state: a bijective hash of
    state + n * GAMMA, so none has to be computed before another.
    """
    seeds = np.array([seed_for(seed, *path) for path in paths], np.uint64)
    bits = seeds[:, None] + GAMMA * np.arange(1, count + 1, dtype=np.uint64)
    for shift, factor in STIRS:
        bits ^= bits >> shift
        bits *= factor
    bits ^= bits >> LAST_SHIFT
    return (bits >> UNUSED_BITS).astype(np.float64) * np.float64(2.0**-53)


# The constants of SplitMix64.
GAMMA = np.uint64(0x9E3779B97F4A7C15)
STIRS = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
LAST_SHIFT = np.uint64(31)
UNUSED_BITS = np.uint64(11)
