"""Epochs in windows, for corpora that no machine can read in random order.

A shard is cut into 64 segments: runs of its utterances, of about 8 MB. In each epoch the shards are dealt anew into
groups, and the segments of a group into 32 windows. A window is read in sequence, to a local disk or memory, and its
utterances come in random order, in micro-batches of similar length as in a whole epoch. So a disk, or a mirror, serves
reads of 8 MB, and not of one utterance.

It is a pure function of seed and epoch: the number of ranks changes nothing, and any micro-batch can be made at once.

- The shards of each corpus are spread evenly over the groups, and the segments of each shard over the windows of its
  group: shuffled, number i of n is anywhere in the i-th of n equal parts. So a window has its share of each corpus, and
  of the speakers of each tar of its group. A window of whole tars would be one of few speakers, and the gradients of
  its updates would err in the same direction.
- Within a bucket of a window the utterances of a segment are spread evenly, too. Else two of them, which are in one
  window in every epoch, would meet more often in a micro-batch than they do in a whole epoch.

Legend: S segments, W windows, D draws of a window.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from wavlm.loader.draws import DrawPlan
from wavlm.loader.epochs import (
    Epoch,
    Integers,
    MicroBatch,
    Numbers,
    SamplerState,
    count_micro_batches,
    crop_frames,
    number_buckets,
    shuffle_epoch,
)
from wavlm.rng import rng_for
from wavlm.specs import TrainSpec
from wavlm.specs.base import FRAME_RATE_HZ

# Both are part of the order of every training that has windows (docs/decisions/0059-segments-and-groups.md).
SEGMENTS = 64  # of a shard
GROUP_WINDOWS = 32  # of a group


def cut_shards(ends: Integers) -> Integers:
    """The number behind the last utterance of each segment, given that behind the last one of each shard.

    A shard has segments of nearly as many utterances each, or one per utterance if it has fewer.
    """
    begins = np.append(0, ends[:-1])
    cuts = np.unique(begins[:, None] + (ends - begins)[:, None] * np.arange(1, SEGMENTS + 1) // SEGMENTS)
    return cuts[cuts > 0]


@dataclass(frozen=True, eq=False)
class Windows:
    """How segments come into windows. The utterances of a segment are numbered one after the other."""

    ends: Integers  # (S,) the number behind the last utterance of each segment
    shards: Integers  # (S,) the shard of each segment
    corpora: Integers  # the corpus of each shard
    most_shards: int  # the size of a window
    seed: int

    @classmethod
    def of_shards(cls, ends: Integers, corpora: Integers, most_shards: int, seed: int) -> Windows:
        """Windows of the size of so many shards or fewer.

        ends, corpora: the number behind the last utterance of each shard, and its corpus.
        """
        cuts = cut_shards(ends)
        return cls(cuts, np.searchsorted(ends, cuts), corpora, most_shards, seed)

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(f"windows {self.most_shards} {SEGMENTS} {GROUP_WINDOWS}".encode())
        for numbers in (self.ends, self.shards, self.corpora):
            digest.update(np.ascontiguousarray(numbers, "<i8").tobytes())
        return digest.hexdigest()

    def deal(self, epoch: int) -> list[Integers]:
        """The segments of each window of an epoch, in order of their numbers."""
        rng = rng_for(self.seed, "windows", epoch)
        num_groups = -(-len(self.corpora) // (GROUP_WINDOWS * self.most_shards))
        return [
            np.sort(part)
            for shards in _deal(self.corpora, num_groups, rng)
            for members in (np.flatnonzero(np.isin(self.shards, shards)),)
            for part in (members[chosen] for chosen in _deal(self.shards[members], self._count(shards), rng))
        ]

    def shards_in(self, segments: Integers) -> Integers:
        """The shards that some segments are of."""
        return np.unique(self.shards[segments])

    def _count(self, shards: Integers) -> int:
        """How many windows a group of shards has."""
        return -(-len(shards) // self.most_shards)

    def utterances(self, segments: Integers) -> Integers:
        """The utterances of some segments."""
        sizes = self._sizes(segments)
        firsts = np.repeat(self.ends[segments] - np.cumsum(sizes), sizes)
        return firsts + np.arange(len(firsts))

    def segments_of(self, segments: Integers) -> Integers:
        """For each of `utterances(segments)` its segment."""
        return np.repeat(segments, self._sizes(segments))

    def _sizes(self, segments: Integers) -> Integers:
        return self.ends[segments] - np.where(segments > 0, self.ends[segments - 1], 0)


def _deal(kinds: Integers, count: int, rng: np.random.Generator) -> list[Integers]:
    """Deal items, given by their kinds, into so many equal parts, each kind evenly. The items of each part."""
    places = spread(np.zeros(len(kinds), np.int64), kinds, rng)
    return np.array_split(np.argsort(places, kind="stable"), count)


class WindowedEpoch:
    """One epoch, window after window. Only the window that was asked for last is in memory."""

    def __init__(
        self,
        number: int,
        train: TrainSpec,
        windows: Windows,
        num_frames: npt.NDArray[Any],
        draws: DrawPlan | None = None,
        rate_hz: float = FRAME_RATE_HZ,
    ) -> None:
        """num_frames (U,): of each utterance, already limited to the longest crop. rate_hz: of the frames."""
        self.number = number
        self.segments = windows.deal(number)  # of each window
        self._train, self._windows, self._num_frames, self._draws = train, windows, num_frames, draws
        self._rate_hz = rate_hz
        counts = [count_micro_batches(self._draw(segments)[1], train, rate_hz) for segments in self.segments]
        self._ends = np.cumsum(counts)  # (W,) micro-batches up to the end of each window
        self._window = lru_cache(maxsize=1)(self._make_window)

    @property
    def num_micro_batches(self) -> int:
        return int(self._ends[-1])

    def window_of(self, number: int) -> int:
        """The window of the micro-batch with this number in the order of delivery."""
        return int(np.searchsorted(self._ends, number, side="right"))

    def micro_batch(self, number: int) -> MicroBatch:
        """The micro-batch with this number in the order of delivery."""
        at = self.window_of(number)
        window = self._window(at)
        found = window.micro_batch(number - int(self._ends[at]) + window.num_micro_batches)
        return MicroBatch(SamplerState(self.number, number), found.utterances, found.num_frames, found.repeats)

    def _draw(self, segments: Integers) -> tuple[Integers, Integers]:
        """The utterances of a window as often as each is drawn, and the frames of their crops: (D,) both."""
        utterances = self._windows.utterances(segments)
        if self._draws:
            utterances = np.repeat(utterances, self._draws.counts(self.number, utterances))
        return utterances, crop_frames(self._num_frames[utterances], self._train.crop_frames_multiple).astype(np.int64)

    def _make_window(self, at: int) -> Epoch:
        segments, rng = self.segments[at], rng_for(self._train.seed, "epoch", self.number, "window", at)
        utterances, frames = self._draw(segments)
        of_segments = self._windows.segments_of(segments)
        repeats = None
        if self._draws:
            counts = self._draws.counts(self.number, self._windows.utterances(segments))
            of_segments = np.repeat(of_segments, counts)
            firsts = np.repeat(np.cumsum(counts) - counts, counts)
            repeats = (np.arange(len(utterances)) - firsts).astype(np.int32)
        places = spread(number_buckets(frames, self._train), of_segments, rng)
        found = shuffle_epoch(frames, places, self._train, self.number, rng, self._rate_hz)
        return found.of(utterances, repeats)


def spread(buckets: Integers, groups: Integers, rng: np.random.Generator) -> Numbers:
    """A random place in [0, 1) for each draw: (D,). Those of one group in one bucket are spread evenly.

    Of c such draws, in random order, number k is anywhere in the k-th of c equal parts.
    """
    order = np.lexsort((rng.random(len(buckets)), groups, buckets))
    is_first = np.append(True, (np.diff(buckets[order]) != 0) | (np.diff(groups[order]) != 0))
    firsts = np.flatnonzero(is_first)
    counts = np.diff(np.append(firsts, len(order)))
    ranks = np.arange(len(order)) - np.repeat(firsts, counts)
    places = np.empty(len(order))
    places[order] = (ranks + rng.random(len(order))) / np.repeat(counts, counts)
    return places
