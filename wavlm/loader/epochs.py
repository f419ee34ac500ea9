"""One epoch: utterances of similar length in micro-batches, in the order of delivery.

How it is made: sort the draws by bucket, longest first, in random order within a bucket; cut this list into
micro-batches; shuffle the micro-batches. It depends on lengths, spec and random numbers alone.

Legend: D draws (all utterances if each is drawn once), M micro-batches, B utterances of a micro-batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from wavlm.loader.draws import Counts
from wavlm.specs import TrainSpec
from wavlm.specs.base import FRAME_RATE_HZ

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

# Lengths within 3 % count as equal, so that an utterance has other mixing partners in each epoch. Sorted by exact
# length, its neighbours, and so its partners, would hardly ever change.
SAME_LENGTH = 1 / 32
MOST_IN_16_BITS = 65_535


@dataclass(frozen=True, order=True)
class SamplerState:
    """The next micro-batch to deliver: its epoch, and `group`, its number in the epoch. Both count from 0."""

    epoch: int = 0
    group: int = 0


@dataclass(frozen=True)
class MicroBatch:
    """Utterances that are cropped to one length and mixed with each other; together they are one batch."""

    position: SamplerState
    utterances: Integers  # (B,) their numbers in the input of the sampler
    num_frames: int  # of each crop
    repeats: Counts | None = None  # (B,) how often the epoch drew the same utterance before; None: never


@dataclass(frozen=True)
class Epoch:
    """One pass over all draws, usually all utterances: a permutation of them, cut into micro-batches."""

    number: int
    utterances: npt.NDArray[np.integer[Any]]  # (D,)
    bounds: Integers  # (M + 1,) micro-batch m holds utterances[bounds[m]:bounds[m + 1]]
    num_frames: npt.NDArray[np.integer[Any]]  # (M,) of each crop
    repeats: Counts | None = None  # (D,) how often the same utterance was drawn before; None: each once

    @property
    def num_micro_batches(self) -> int:
        return len(self.num_frames)

    def micro_batch(self, number: int) -> MicroBatch:
        """The micro-batch with this number in the order of delivery."""
        part = slice(self.bounds[number], self.bounds[number + 1])
        repeats = None if self.repeats is None else self.repeats[part]
        position, num_frames = SamplerState(self.number, number), int(self.num_frames[number])
        return MicroBatch(position, self.utterances[part].astype(np.int64), num_frames, repeats)

    def of(self, utterances: Integers, repeats: Counts | None = None) -> Epoch:
        """The same micro-batches, with these utterances (D,) in place of their numbers from 0 to D."""
        chosen = None if repeats is None else repeats[self.utterances]
        return replace(self, utterances=utterances[self.utterances], repeats=chosen)


def shuffle_epoch(
    num_frames: Integers,
    places: Numbers,
    train: TrainSpec,
    number: int,
    rng: np.random.Generator,
    rate_hz: float = FRAME_RATE_HZ,
) -> Epoch:
    """Sort draws by bucket, longest first, and by their places within one; cut into micro-batches; shuffle these.

    num_frames, places (D,): of the crop of each draw, and where it is among those of its bucket.
    rate_hz: frames per second.
    """
    order = _sort_draws(number_buckets(num_frames, train), places)
    sorted_epoch = cut_micro_batches(order, num_frames, train, number, rate_hz)
    shuffled = rng.permutation(sorted_epoch.num_micro_batches)
    starts, sizes = sorted_epoch.bounds[shuffled], np.diff(sorted_epoch.bounds)[shuffled]
    bounds = np.append(0, np.cumsum(sizes))
    # Take each micro-batch's part of the draws, in the shuffled order of micro-batches.
    gather_indices = np.arange(len(num_frames)) + np.repeat(starts - bounds[:-1], sizes)
    return Epoch(number, sorted_epoch.utterances[gather_indices], bounds, sorted_epoch.num_frames[shuffled])


def _sort_draws(buckets: Integers, places: Numbers) -> Integers:
    """The draws (D,) with the longest first, and by their places within a bucket: `np.lexsort((places, -buckets))`."""
    falling = int(buckets.max(initial=0)) - buckets
    # Of 16 bits numpy makes a radix sort, which takes a twentieth of the time.
    order = np.argsort(
        falling.astype(np.uint16) if falling.max(initial=0) <= MOST_IN_16_BITS else falling, kind="stable"
    )
    ordered = places[order]
    ends = np.cumsum(np.bincount(falling)) if len(falling) else ()
    for begin, end in pairwise((0, *ends)):  # a bucket fits into the cache of a core, all draws do not
        order[begin:end] = order[begin:end][_argsort(ordered[begin:end])]
    return order


def _argsort(places: Numbers) -> Integers:
    """The order of some places, the same on every processor: numpy's fast sort may exchange equal ones."""
    order = np.argsort(places)
    ordered = places[order]
    return np.argsort(places, kind="stable") if (ordered[1:] == ordered[:-1]).any() else order


def number_buckets(num_frames: Integers, train: TrainSpec) -> Integers:
    """The bucket of each draw (D,), numbered from short to long."""
    return num_frames if train.crop_frames_multiple > 1 else _bucket_numbers(num_frames)


def count_micro_batches(num_frames: Integers, train: TrainSpec, rate_hz: float = FRAME_RATE_HZ) -> int:
    """How many micro-batches `shuffle_epoch` makes of these draws, in whatever places they are."""
    counts = np.bincount(num_frames)
    longest_first = np.repeat(np.arange(len(counts))[::-1], counts[::-1])  # sorted without sorting
    return len(_find_all_starts(longest_first, train, rate_hz))


def frame_budget(train: TrainSpec, rate_hz: float = FRAME_RATE_HZ) -> int:
    """The most frames of a micro-batch, over all its crops."""
    return int(train.group_seconds * rate_hz)


def cut_micro_batches(
    order: Integers, num_frames: Integers, train: TrainSpec, number: int, rate_hz: float = FRAME_RATE_HZ
) -> Epoch:
    """Cut utterances, sorted longest first, into micro-batches."""
    lengths = num_frames[order]
    starts = _find_all_starts(lengths, train, rate_hz)
    return Epoch(
        number=number,
        utterances=order,
        bounds=np.append(starts, len(order)),
        num_frames=np.minimum.reduceat(lengths, starts),
    )


def _find_all_starts(lengths: Integers, train: TrainSpec, rate_hz: float) -> Integers:
    """Where micro-batches begin in draws that are sorted, longest first. There may be none, as in some windows."""
    if not len(lengths):
        return np.zeros(0, np.int64)
    budget = frame_budget(train, rate_hz)
    if train.crop_frames_multiple > 1:
        return _find_even_starts(lengths, budget)
    return _find_starts(lengths, _bucket_numbers(lengths), budget)


def crop_frames(num_frames: npt.NDArray[Any], multiple: int) -> Integers:
    """Frames (U,) of the longest crop of each utterance: a multiple, or all frames of a shorter utterance."""
    crops: Integers = np.where(num_frames < multiple, num_frames, num_frames // multiple * multiple)
    return crops


def _bucket_numbers(num_frames: Integers) -> Integers:
    numbers: Integers = np.floor(np.log(num_frames) / np.log1p(SAME_LENGTH)).astype(np.int64)
    return numbers


def _find_starts(num_frames: Integers, buckets: Integers, budget: int) -> Integers:
    """Where micro-batches begin in utterances sorted by bucket, longest first (fairseq's max_tokens rule).

    A micro-batch has as many utterances as fit the budget at the longest length of the bucket that it begins in.
    """
    ends = np.append(np.flatnonzero(np.diff(buckets)) + 1, len(buckets))
    starts: list[Integers] = []
    begin, at = 0, 0
    for end in ends:
        size = max(1, budget // int(num_frames[begin:end].max()))
        if at < end:
            starts.append(np.arange(at, end, size))
            at = int(starts[-1][-1]) + size
        begin = end
    return np.concatenate(starts)


def _find_even_starts(num_frames: Integers, budget: int) -> Integers:
    """Where micro-batches begin in utterances sorted by frames, longest first.

    A micro-batch has as many utterances as fit the budget at the length of its shortest. So all micro-batches of one
    length have the same size, also one that begins with longer utterances.
    """
    ends = np.append(np.flatnonzero(np.diff(num_frames)) + 1, len(num_frames))
    starts: list[int] = []
    at = 0
    for end in ends:
        size = max(1, budget // int(num_frames[end - 1]))
        num_micro_batches = (int(end) - at) // size
        starts.extend(range(at, at + num_micro_batches * size, size))
        at += num_micro_batches * size
    if at < len(num_frames):
        starts.append(at)
    return np.array(starts, np.int64)
