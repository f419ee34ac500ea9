"""Named randomness: the same names give the same numbers, whoever asks and in whatever order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]


def seed_for(seed: int, *names: str | int) -> int:
    """A 64-bit seed from a seed and a path of names, e.g. (0, "mix", epoch, key)."""
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def rng_for(seed: int, *names: str | int) -> np.random.Generator:
    """A Philox generator of its own for this seed and these names."""
    return np.random.Generator(np.random.Philox(seed_for(seed, *names)))


def each_rng(seed: int, paths: Iterable[Sequence[str | int]]) -> Iterator[np.random.Generator]:
    """`rng_for` of each of these paths of names in turn; of many, for a third of the time.

    It is one generator that is set anew: what was yielded before must not be used any more.
    """
    seeds = [seed_for(seed, *path) for path in paths]
    philox = np.random.Philox(0)
    start = philox.state
    rng = np.random.Generator(philox)
    for key in _philox_keys(seeds):
        start["state"]["key"] = key
        philox.state = start
        yield rng


def _philox_keys(seeds: Sequence[int]) -> npt.NDArray[np.uint64]:
    """The key that Philox(seed) has, for each of the seeds of 64 bits: (S, 2).

    That is SeedSequence(seed).generate_state(2, uint64), which numpy promises to keep, for all
    seeds at once: a pool of four words begins with the seed's two, each word is mixed into each
    other one, and all are hashed once more.
    """
    pool = np.zeros((POOL_WORDS, len(seeds)), np.uint32)
    pool[:2] = np.array(seeds, "<u8").view("<u4").reshape(-1, 2).T
    pool = _hashed(pool, POOL_FACTORS[0])
    for source, factors in enumerate(POOL_FACTORS[1:]):
        kept = pool[source]
        mixed = pool * MIX_LEFT - _hashed(kept, factors) * MIX_RIGHT
        pool = mixed ^ (mixed >> HALF_WORD)
        pool[source] = kept
    words = np.ascontiguousarray(_hashed(pool, STATE_FACTORS).T, "<u4")  # (S, 4)
    return words.view("<u8")


def _hashed(words: Words, factors: tuple[Words, Words]) -> Words:
    """Words (4, S), or one that is hashed in four ways, (S,): (4, S)."""
    before, behind = factors  # (4, 1) each
    hashed = (words ^ before) * behind
    return hashed ^ (hashed >> HALF_WORD)


def _chain(first: int, factor: int, count: int) -> list[int]:
    """The factors of as many hashes, one after the other, and one more; in 32 bits."""
    return [first * factor**power % 2**32 for power in range(count + 1)]


def _columns(chain: list[int], hashes: Sequence[int]) -> tuple[Words, Words]:
    """What the hashes of these numbers do before and behind: (4, 1) each."""
    pairs = np.array([[chain[number], chain[number + 1]] for number in hashes], np.uint32)
    return pairs[:, :1], pairs[:, 1:]


def _pool_factors() -> list[tuple[Words, Words]]:
    """Of the first hash of the pool, then of those of each word for the others, in their order."""
    chain = _chain(0x43B0D7E5, 0x931E8875, POOL_WORDS**2 + 1)
    words = range(POOL_WORDS)
    factors = [_columns(chain, words)]
    for source in words:
        first = POOL_WORDS + source * (POOL_WORDS - 1)
        # A word is not mixed into itself: whatever its own place says is not used.
        factors.append(_columns(chain, [first + word - (word > source) for word in words]))
    return factors


# The constants of numpy.random.SeedSequence.
POOL_WORDS = 4
HALF_WORD = np.uint32(16)  # bits
MIX_LEFT, MIX_RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
POOL_FACTORS = _pool_factors()
STATE_FACTORS = _columns(_chain(0x8B51F9DD, 0x58F38DED, POOL_WORDS), range(POOL_WORDS))
