"""Other segments and groups than those of `wavlm.loader.windows`: what each choice costs and gives.

Pairs and noise are those of `order`, over the same shards. Bytes, reads and open files are computed for 94,000 hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from benchmarks.scale import Row
from benchmarks.scale.order import (
    PAPER_SHARDS,
    PAPER_UTTERANCES,
    PAPER_WINDOW,
    SIZE,
    UPDATES_TOGETHER,
    WINDOW,
    make_sampler,
    noise_of,
    share_of_pairs,
)
from wavlm.loader import windows
from wavlm.storage.pieces import PIECE_BYTES

CHOICES = ((32, 32), (64, 16), (64, 32), (64, 64), (128, 32))  # segments of a shard, windows of a group
SHARD_BYTES = 512e6
TARS = 200  # fake ones, whose segments are cut


def measure(size: int | None = None) -> list[Row]:
    """All choices. The noise is relative to that of whole epochs."""
    size = size or SIZE
    whole = noise_of(make_sampler(size, 0), size)
    rows: list[Row] = []
    for segments, group in CHOICES:
        with chosen(segments, group):
            sampler = make_sampler(size, WINDOW)
            noise, pairs = noise_of(sampler, size), share_of_pairs(sampler)
            name, fetched = f"{segments} segments, {group} windows of a group", share_fetched()
            rows += [
                Row(f"{name}: pairs that meet again", 1e4 * pairs, "per 10,000", size),
                Row(f"{name}: noise of an update", noise[0] / whole[0], "x", size),
                Row(f"{name}: noise of the mean of {UPDATES_TOGETHER}", noise[1] / whole[1], "x", size),
                Row(f"{name}: bytes that an epoch fetches from a mirror (computed)", fetched, "x", PAPER_SHARDS),
                Row(f"{name}: reads of a window (computed)", PAPER_WINDOW * segments, "", PAPER_SHARDS),
                Row(f"{name}: tars of a group (computed)", PAPER_WINDOW * group, "", PAPER_SHARDS),
            ]
    return rows


@contextmanager
def chosen(segments: int, group: int) -> Iterator[None]:
    """Other constants in this block."""
    before = windows.SEGMENTS, windows.GROUP_WINDOWS
    windows.SEGMENTS, windows.GROUP_WINDOWS = segments, group
    try:
        yield
    finally:
        windows.SEGMENTS, windows.GROUP_WINDOWS = before


def share_fetched() -> float:
    """Bytes that are fetched of tars that are in a mirror, in whole pieces, for each byte of them."""
    per_tar = PAPER_UTTERANCES // PAPER_SHARDS
    lengths = np.random.default_rng(0).uniform(0.1, 1.9, (TARS, per_tar))
    ends = np.cumsum(lengths / lengths.sum(axis=1, keepdims=True) * SHARD_BYTES, axis=1).astype(np.int64)
    fetched = 0
    for tar in ends:
        cuts = windows.cut_shards(np.array([per_tar]))
        last = tar[cuts - 1]
        first = np.append(0, last[:-1])
        fetched += int(((last - 1) // PIECE_BYTES - first // PIECE_BYTES + 1).sum())
    return fetched * PIECE_BYTES / (TARS * SHARD_BYTES)
