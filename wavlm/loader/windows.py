"""Epochs in windows of shards, for corpora that no machine can read in random order.

In each epoch the shards are shuffled and dealt into windows. A window is read in sequence, to a local disk or memory,
and its utterances come in random order, in micro-batches of similar length as in a whole epoch. So a machine opens a
shard once per epoch, and not for every utterance.

It is a pure function of seed and epoch: the number of ranks changes nothing, and any micro-batch can be made at once.

- Each corpus is spread evenly over the windows: its shuffled shards have places (i + u) / n. So the shares of corpora
  differ little from window to window.
- Within a bucket of a window the utterances of a shard are spread evenly, too. Else two of them, which are in one
  window in every epoch, would meet more often in a micro-batch than they do in a whole epoch.

Legend: S shards, W windows, D draws of a window.
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


@dataclass(frozen=True, eq=False)
class Windows:
    """How shards come into windows. The utterances of a shard are numbered one after the other."""

    ends: Integers  # (S,) the number behind the last utterance of each shard
    corpora: Integers  # (S,) the corpus of each shard
    most_shards: int  # of a window
    seed: int

    @property
    def count(self) -> int:
        """Windows of an epoch, all of them of about the same number of shards."""
        return -(-len(self.ends) // self.most_shards)

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(f"windows {self.most_shards}".encode())
        for numbers in (self.ends, self.corpora):
            digest.update(np.ascontiguousarray(numbers, "<i8").tobytes())
        return digest.hexdigest()

    def deal(self, epoch: int) -> list[Integers]:
        """The shards of each window of an epoch, in order of their numbers."""
        rng = rng_for(self.seed, "windows", epoch)
        places = np.empty(len(self.ends))
        for corpus in np.unique(self.corpora).tolist():
            members = rng.permutation(np.flatnonzero(self.corpora == corpus))
            places[members] = (np.arange(len(members)) + rng.random(len(members))) / len(members)
        return [np.sort(part) for part in np.array_split(np.argsort(places, kind="stable"), self.count)]

    def utterances(self, shards: Integers) -> Integers:
        """The utterances of some shards."""
        begins, ends = self._begins(shards), self.ends[shards]
        return np.concatenate([np.arange(begin, end) for begin, end in zip(begins, ends, strict=True)])

    def shards_of(self, shards: Integers) -> Integers:
        """For each of `utterances(shards)` its shard."""
        return np.repeat(shards, self.ends[shards] - self._begins(shards))

    def _begins(self, shards: Integers) -> Integers:
        return np.where(shards > 0, self.ends[shards - 1], 0)


class WindowedEpoch:
    """One epoch, window after window. Only the window that was asked for last is in memory."""

    def __init__(
        self,
        number: int,
        train: TrainSpec,
        windows: Windows,
        num_frames: npt.NDArray[Any],
        draws: DrawPlan | None = None,
    ) -> None:
        """num_frames (U,): of each utterance, already limited to the longest crop."""
        self.number = number
        self.shards = windows.deal(number)  # of each window
        self._train, self._windows, self._num_frames, self._draws = train, windows, num_frames, draws
        counts = [count_micro_batches(self._draw(shards)[1], train) for shards in self.shards]
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

    def _draw(self, shards: Integers) -> tuple[Integers, Integers]:
        """The utterances of a window as often as each is drawn, and the frames of their crops: (D,) both."""
        utterances = self._windows.utterances(shards)
        if self._draws:
            utterances = np.repeat(utterances, self._draws.counts(self.number, utterances))
        return utterances, crop_frames(self._num_frames[utterances], self._train.crop_frames_multiple).astype(np.int64)

    def _make_window(self, at: int) -> Epoch:
        shards, rng = self.shards[at], rng_for(self._train.seed, "epoch", self.number, "window", at)
        utterances, frames = self._draw(shards)
        of_shards = self._windows.shards_of(shards)
        repeats = None
        if self._draws:
            counts = self._draws.counts(self.number, self._windows.utterances(shards))
            of_shards = np.repeat(of_shards, counts)
            firsts = np.repeat(np.cumsum(counts) - counts, counts)
            repeats = (np.arange(len(utterances)) - firsts).astype(np.int32)
        places = spread(number_buckets(frames, self._train), of_shards, rng)
        return shuffle_epoch(frames, places, self._train, self.number, rng).of(utterances, repeats)


def spread(buckets: Integers, shards: Integers, rng: np.random.Generator) -> Numbers:
    """A random place in [0, 1) for each draw: (D,). Those of one shard in one bucket are spread evenly.

    Of c such draws, in random order, number k is anywhere in the k-th of c equal parts.
    """
    order = np.lexsort((rng.random(len(buckets)), shards, buckets))
    is_first = np.append(True, (np.diff(buckets[order]) != 0) | (np.diff(shards[order]) != 0))
    firsts = np.flatnonzero(is_first)
    counts = np.diff(np.append(firsts, len(order)))
    ranks = np.arange(len(order)) - np.repeat(firsts, counts)
    places = np.empty(len(order))
    places[order] = (ranks + rng.random(len(order))) / np.repeat(counts, counts)
    return places
