"""Sample the frames that a codebook is learned from: seeded, with a share per corpus, and speakers in turn.

Features are computed for whole utterances, because a hidden layer depends on all of its input and deltas on their
neighbours, and then a few frames of each are kept. So a sample of N frames decodes N / `frames_per_utterance`
utterances, or all if there are fewer. They are drawn from columns (`wavlm.labels.pools`), and read in the order of the
shards, in parts (`wavlm.labels.cells`, `wavlm.labels.frames`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wavlm.labels.pools import Pool
from wavlm.labels.quotas import Integers, Numbers, allot_corpora, allot_utterances
from wavlm.labels.turns import Turns
from wavlm.rng import rng_for
from wavlm.specs import Group, SampledSpec
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid, num_labels
from wavlm.specs.sampling import refuse_strangers
from wavlm.storage.parquet import lean_memory

MARGIN = 1000  # utterances that are looked at beside those that will be enough if none is short


@dataclass(frozen=True, eq=False)
class Drawing:
    """What a sample is made of. Each array has one entry per utterance, (utterances,)."""

    pools: Integers  # number of its pool
    folders: Integers  # number of its corpus
    rows: Integers  # in the index of the corpus
    speakers: Integers  # numbers within its corpus
    num_frames: Integers  # how many frames of it are taken

    @property
    def num_speakers(self) -> int:
        """Speakers of the utterances. The same name in two corpora is two speakers."""
        return len(np.unique(self.folders << 32 | self.speakers))


def draw_shares(
    pools: Sequence[Pool],
    train: Sequence[Pool],
    rate_hz: float,
    num_frames: int,
    spec: SampledSpec,
    grid: FrameGrid = PAPER_FRAMES,
) -> Drawing:
    """`draw_utterances` with the shares of the spec, or those of the hours of `train`.

    Raises UsageError (SAMPLING) if there is no speech of what has a weight.
    """
    if spec.sampling is None:
        weights = np.array(spec.shares or samples_per_folder(train), np.float64)
        return draw_utterances(pools, rate_hz, num_frames, weights, spec, grid)
    amounts = sum_groups(train)
    refuse_strangers(spec.sampling, tuple(amounts), "codebook.sampling")
    shares = spec.sampling.shares(dict(amounts))
    weights = np.array([shares.get(it.group, 0.0) for it in pools])
    return draw_utterances(pools, rate_hz, num_frames, weights, spec, grid)


def samples_per_folder(pools: Sequence[Pool]) -> list[int]:
    """Samples of audio of each corpus, in the order of the folders."""
    sums: dict[int, int] = {}
    for pool in pools:
        sums[pool.folder] = sums.get(pool.folder, 0) + pool.num_samples
    return [sums[number] for number in sorted(sums)]


def sum_groups(pools: Sequence[Pool]) -> Mapping[Group, int]:
    """Samples of audio of each group of utterances."""
    sums: dict[Group, int] = {}
    for pool in pools:
        sums[pool.group] = sums.get(pool.group, 0) + pool.num_samples
    return sums


def draw_utterances(
    pools: Sequence[Pool],
    rate_hz: float,
    num_frames: int,
    weights: Numbers,
    spec: SampledSpec,
    grid: FrameGrid = PAPER_FRAMES,
) -> Drawing:
    """Which utterances give how many frames to a sample of `num_frames`. weights (pools,): the share of each pool.

    rate_hz: of the frames that are taken, which are one or two per frame of the grid.
    The shares and turns are those of `wavlm.labels.quotas` and `wavlm.labels.turns`.
    """
    available = np.array([pool.num_frames for pool in pools], np.int64)
    quotas = allot_corpora(num_frames, available, weights).tolist()
    none = np.zeros(0, np.int64)
    drawn = [(none,) * 5]
    for number, (pool, quota) in enumerate(zip(pools, quotas, strict=True)):
        if quota:
            drawn.append(_draw_pool(pool, number, quota, (rate_hz, grid), spec))
    return Drawing(*(np.concatenate(column) for column in zip(*drawn, strict=True)))


def _draw_pool(
    pool: Pool, number: int, quota: int, rates: tuple[float, FrameGrid], spec: SampledSpec
) -> tuple[Integers, Integers, Integers, Integers, Integers]:
    """The utterances of one pool that give frames: the columns of a drawing."""
    with lean_memory():
        return _draw(pool, number, quota, rates, spec)


def _draw(
    pool: Pool, number: int, quota: int, rates: tuple[float, FrameGrid], spec: SampledSpec
) -> tuple[Integers, Integers, Integers, Integers, Integers]:
    speakers = pool.read_speakers()
    turns = Turns(speakers, rng_for(spec.seed, "sample", number))
    wanted = -(-quota // spec.frames_per_utterance) + MARGIN
    while True:
        order = turns.first(min(wanted, len(turns)))
        lengths = num_labels(pool.read_samples(order), *rates)
        if len(order) == len(turns) or np.minimum(lengths, spec.frames_per_utterance).sum() >= quota:
            break
        wanted *= 4
    taken = allot_utterances(lengths, quota, spec.frames_per_utterance)
    order = order[: len(taken)]
    same = np.ones(len(taken), np.int64)
    return number * same, pool.folder * same, pool.find_rows(order), speakers[order].astype(np.int64), taken
