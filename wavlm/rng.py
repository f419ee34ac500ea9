"""Named randomness: the same names give the same numbers, whoever asks and in whatever order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
StreamSeeds = npt.NDArray[np.uint64]


def seed_for(seed: int, *names: str | int) -> int:
    """A 64-bit seed from a seed and a path of names, e.g. (0, "mix", epoch, key)."""
    return int.from_bytes(_digest("\x1f".join(map(str, (seed, *names)))), "little")


def rng_for(seed: int, *names: str | int) -> np.random.Generator:
    """A Philox generator of its own for this seed and these names."""
    return np.random.Generator(np.random.Philox(seed_for(seed, *names)))


def stream_seeds(seed: int, names: Sequence[str | int], keys: Iterable[str]) -> StreamSeeds:
    """Where the numbers of each of these keys begin, (K,): `seed_for` of (seed, *names, key)."""
    path = "".join(f"{name}\x1f" for name in (seed, *names))
    return np.frombuffer(b"".join([_digest(path + key) for key in keys]), "<u8").astype(np.uint64)


def uniforms(seeds: StreamSeeds, count: int) -> Numbers:
    """So many numbers in [0, 1) from each state (P,): (P, count).

    What few numbers for each of many utterances need: no generator is made, and the numbers of all
    are computed together. They begin alike whatever `count` is.

    Number n is the upper 53 bits of output n of SplitMix64 (Steele, Lea and Flood 2014,
    doi 10.1145/2660193.2660195): a bijective hash of state + n * GAMMA, so none has to be computed
    before another.
    """
    bits = seeds[:, None] + _increments(count)
    for shift, factor in MIX_ROUNDS:
        bits ^= bits >> shift
        bits *= factor
    bits ^= bits >> LAST_SHIFT
    return (bits >> UNUSED_BITS).astype(np.float64) * np.float64(2.0**-53)


def advance(seeds: StreamSeeds, count: int) -> StreamSeeds:
    """The states (P,) whose numbers are those that come behind the first `count`."""
    return seeds + np.uint64(int(GAMMA) * count % 2**64)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


@cache
def _increments(count: int) -> StreamSeeds:
    """What to add to a state for each of its first numbers."""
    return GAMMA * np.arange(1, count + 1, dtype=np.uint64)


# The constants of SplitMix64.
GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_ROUNDS = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
LAST_SHIFT = np.uint64(31)
UNUSED_BITS = np.uint64(11)
