"""Epochs in windows against whole epochs: opened files, pairs that meet again, and the noise of gradients.

The pairs and the noise are those of `--size` utterances in 1,600 shards of 4 speakers, with windows of 16 shards. That
are four groups, as of 94,000 hours, and as many speakers of a group per utterance of an update as there, if a tar of
512 MB has four. A gradient is modelled as the sum of an effect of the corpus, one of the speaker and one of the
utterance, of variance 1 each. Opened files are computed for 12,300 shards, and not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np

from benchmarks.scale import Row
from wavlm.loader.epochs import MicroBatch, SamplerState
from wavlm.loader.sampler import BucketedSampler
from wavlm.loader.windows import Windows
from wavlm.specs import TrainSpec

SIZE = 120_000
SHARDS, WINDOW = 1_600, 16
CORPORA, SPEAKERS_PER_SHARD = 8, 4
LOADERS = 64  # of a machine: 8 ranks with 8 each
PAPER_SHARDS, PAPER_UTTERANCES, PAPER_WINDOW = 12_300, 11_700_000, 128
UPDATES_TOGETHER = 10

Numbers = np.ndarray


def measure(size: int | None = None) -> list[Row]:
    """The same with and without windows."""
    size = size or SIZE
    whole, windowed = (make_sampler(size, most) for most in (0, WINDOW))
    met = {name: share_of_pairs(sampler) for name, sampler in (("whole", whole), ("windows", windowed))}
    noise = {name: noise_of(sampler, size) for name, sampler in (("whole", whole), ("windows", windowed))}
    return [
        *count_opens(),
        Row("pairs of a micro-batch that meet again in the next epoch", 1e4 * met["windows"], "per 10,000", size,
            f"{1e4 * met['whole']:.2f} per 10,000", "no more than before"),
        Row("noise of an update's gradient", noise["windows"][0] / noise["whole"][0], "x that of whole epochs", size,
            "", "<= 1"),
        Row(f"noise of the mean of {UPDATES_TOGETHER} updates", noise["windows"][1] / noise["whole"][1],
            "x that of whole epochs", size, "", "<= 1"),
    ]  # fmt: skip


def make_sampler(size: int, window: int) -> BucketedSampler:
    train = TrainSpec(updates=1, warmup_updates=0, peak_lr=1e-4, batch_seconds=700, group_seconds=87.5)
    frames = np.random.default_rng(0).integers(100, 782, size)
    if not window:
        return BucketedSampler(frames, train)
    ends = np.arange(1, SHARDS + 1) * size // SHARDS
    return BucketedSampler(
        frames, train, windows=Windows.of_shards(ends, np.arange(SHARDS) * CORPORA // SHARDS, window, 0)
    )


def micro_batches(sampler: BucketedSampler, epoch: int) -> Iterator[MicroBatch]:
    found = sampler.epoch(epoch)
    return (found.micro_batch(number) for number in range(found.num_micro_batches))


def share_of_pairs(sampler: BucketedSampler, epochs: int = 4) -> float:
    """Of the pairs that are in one micro-batch, the share that is so in the next epoch, too."""
    pairs = [np.unique(np.concatenate(list(_pairs(sampler, epoch)))) for epoch in range(epochs)]
    again = sum(len(np.intersect1d(one, other, assume_unique=True)) for one, other in pairwise(pairs))
    return again / sum(map(len, pairs[:-1]))


def _pairs(sampler: BucketedSampler, epoch: int) -> Iterator[Numbers]:
    for found in micro_batches(sampler, epoch):
        members = np.sort(found.utterances)
        low, high = np.triu_indices(len(members), 1)
        yield members[low] * (1 << 32) + members[high]


def noise_of(sampler: BucketedSampler, size: int, epochs: int = 6) -> tuple[float, float]:
    """The variance of an update's gradient, and that of the mean of some updates one after the other."""
    rng = np.random.default_rng(1)
    shard = np.minimum(np.arange(size) * SHARDS // size, SHARDS - 1)
    speaker = shard * SPEAKERS_PER_SHARD + np.arange(size) * SHARDS * SPEAKERS_PER_SHARD // size % SPEAKERS_PER_SHARD
    effect = (
        rng.standard_normal(CORPORA)[shard * CORPORA // SHARDS]
        + rng.standard_normal(SHARDS * SPEAKERS_PER_SHARD)[speaker]
        + rng.standard_normal(size)
    )
    effect -= effect.mean()
    count = epochs * sum(1 for _ in micro_batches(sampler, 0)) // sampler.train.micro_batches_per_update
    means = []
    for update in islice(sampler.updates(SamplerState()), count):
        weights = np.concatenate([np.full(len(item.utterances), item.num_frames) for item in update.micro_batches])
        chosen = np.concatenate([item.utterances for item in update.micro_batches])
        means.append(np.average(effect[chosen], weights=weights))
    together = np.array(means[: count // UPDATES_TOGETHER * UPDATES_TOGETHER]).reshape(-1, UPDATES_TOGETHER).mean(1)
    return float(np.mean(np.square(means))), float(np.mean(np.square(together)))


def count_opens() -> list[Row]:
    """Files that a machine of 8 ranks with 8 loaders each opens per utterance, at the size of 94,000 hours."""
    per_shard = PAPER_UTTERANCES / PAPER_SHARDS
    windows = -(-PAPER_SHARDS // PAPER_WINDOW)
    copied = PAPER_SHARDS + windows * LOADERS  # tars stay open
    uncopied = PAPER_SHARDS * LOADERS
    return [
        Row("files opened per read, windows on a scratch disk (computed)", 100 * copied / PAPER_UTTERANCES, "%",
            PAPER_UTTERANCES, "99.5 %", "<= 1 %"),
        Row("files opened per read, windows without one (computed)", 100 * uncopied / (PAPER_SHARDS * per_shard), "%",
            PAPER_UTTERANCES, "99.5 %", ""),
    ]  # fmt: skip
