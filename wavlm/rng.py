"""Named random numbers: the seed and the names alone decide them, in whatever order and process they are drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
StreamSeeds = npt.NDArray[np.uint64]


def seed_for(seed: int, *names: str | int) -> int:
    """A 64-bit seed from a seed and names, for example `seed_for(0, "mix", epoch, key)`."""
    return int.from_bytes(_digest("\x1f".join(map(str, (seed, *names)))), "little")


def rng_for(seed: int, *names: str | int) -> np.random.Generator:
    """A new Philox generator for this seed and these names."""
    return np.random.Generator(np.random.Philox(seed_for(seed, *names)))


def stream_seeds(seed: int, names: Sequence[str | int], keys: Iterable[str]) -> StreamSeeds:
    """The stream seed of each key, (K,): `seed_for(seed, *names, key)`. `uniforms` makes random numbers from them."""
    path = "".join(f"{name}\x1f" for name in (seed, *names))
    return np.frombuffer(b"".join([_digest(path + key) for key in keys]), "<u8").astype(np.uint64)


def uniforms(seeds: StreamSeeds, count: int) -> Numbers:
    """The first `count` random numbers in [0, 1) of each stream seed (K,): (K, count).

    This is for few numbers for each of many utterances: no generator is made, and all numbers are computed together.
    A larger `count` gives the same first numbers.

    Number n is the upper 53 bits of output n of SplitMix64 (Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195).
    It is a bijective hash of seed + n * GAMMA, so each number is computed without the ones before it.
    """
    bits = seeds[:, None] + _increments(count)
    for shift, factor in MIX_ROUNDS:
        bits ^= bits >> shift
        bits *= factor
    bits ^= bits >> LAST_SHIFT
    return (bits >> UNUSED_BITS).astype(np.float64) * np.float64(2.0**-53)


def advance(seeds: StreamSeeds, count: int) -> StreamSeeds:
    """The stream seeds (K,) whose numbers follow the first `count` numbers of `seeds` (K,)."""
    return seeds + np.uint64(int(GAMMA) * count % 2**64)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


@cache
def _increments(count: int) -> StreamSeeds:
    """What to add to a stream seed for each of its first `count` numbers, (count,)."""
    return GAMMA * np.arange(1, count + 1, dtype=np.uint64)


# The constants of SplitMix64.
GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_ROUNDS = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
LAST_SHIFT = np.uint64(31)
UNUSED_BITS = np.uint64(11)
