"""Which utterances meet in which group, epoch after epoch: a pure function of lengths and spec.

A group is what the paper calls a GPU's batch: utterances of similar length, all cropped to the
shortest, so that nothing is ever padded. With `crop_frames_multiple` that is a multiple of so many
frames, and groups of one length have one size: the batches of a corpus then have as many shapes as
there are multiples, and one more for what is left at the end of an epoch.

The stream of groups is endless; an update takes the next `micro_batches_per_update` of them, whatever the
number of ranks. A `SamplerState` in that stream is the whole state of loading: going on from one costs
no replay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from wavlm.rng import rng_for
from wavlm.specs import TrainSpec
from wavlm.specs.shapes import FRAME_RATE_HZ

Integers = npt.NDArray[np.int64]

# Lengths within 3% count as equal, so that an utterance meets other partners in each epoch: sorted
# by exact length, neighbours (and with them the mixing partners) would hardly ever change.
SAME_LENGTH = 1 / 32


@dataclass(frozen=True, order=True)
class SamplerState:
    """Groups before this one have been delivered: `group` counts within the epoch, both from 0."""

    epoch: int = 0
    group: int = 0


@dataclass(frozen=True)
class MicroBatch:
    """Utterances that are cropped to one length, that mix with each other and share a batch."""

    position: SamplerState
    utterances: Integers  # (B,) numbers of the utterances, as counted by the plan's input
    num_frames: int  # of every crop


@dataclass(frozen=True)
class Update:
    """The groups of one optimiser step and the position from which the next step goes on."""

    micro_batches: tuple[MicroBatch, ...]
    after: SamplerState


@dataclass(frozen=True)
class Epoch:
    """One pass over all utterances: a permutation of them, cut into groups."""

    number: int
    utterances: Integers  # (N,)
    bounds: Integers  # (G + 1,) group g holds utterances[bounds[g]:bounds[g + 1]]
    num_frames: Integers  # (G,)

    @property
    def num_micro_batches(self) -> int:
        return len(self.num_frames)

    def micro_batch(self, number: int) -> MicroBatch:
        """The group at a place in the order of delivery."""
        members = self.utterances[self.bounds[number] : self.bounds[number + 1]]
        return MicroBatch(SamplerState(self.number, number), members, int(self.num_frames[number]))


@dataclass
class BucketedSampler:
    """The endless stream of groups for utterances of these lengths.

    `num_frames` (N,) are the frames of each utterance, already limited to the longest crop;
    `content` is a digest of what the utterances are.
    """

    num_frames: Integers
    train: TrainSpec
    content: str = ""
    # 30 million utterances take half a minute to sort, and 500 MB.
    _last: Epoch | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        shortest_frames = self.train.mask.length + max(self.train.mask.min_spans, 1)
        if not len(self.num_frames):
            raise ValueError("no utterance to train on; found an empty train split")
        crops = _crops(self.num_frames, self.train.crop_frames_multiple)
        if (shortest := int(crops.min())) <= shortest_frames:
            raise ValueError(
                f"a crop of utterance {int(crops.argmin())} has {shortest} frames; spans of "
                f"{self.train.mask.length} frames need more than {shortest_frames}"
            )

    def epoch(self, number: int) -> Epoch:
        """The groups of one epoch, in the order in which they are delivered."""
        if self._last is None or self._last.number != number:
            crops = _crops(self.num_frames, self.train.crop_frames_multiple)
            self._last = _shuffle_epoch(crops, self.train, number)
        return self._last

    def updates(self, position: SamplerState) -> Iterator[Update]:
        """All updates from a position on, without end."""
        while True:
            micro_batches = []
            for _ in range(self.train.micro_batches_per_update):
                epoch = self.epoch(position.epoch)
                if position.group >= epoch.num_micro_batches:
                    raise ValueError(
                        f"epoch {position.epoch} has {epoch.num_micro_batches} groups, "
                        f"position asks for number {position.group}"
                    )
                micro_batches.append(epoch.micro_batch(position.group))
                last = position.group + 1 == epoch.num_micro_batches
                position = (
                    SamplerState(position.epoch + 1) if last else SamplerState(position.epoch, position.group + 1)
                )
            yield Update(tuple(micro_batches), position)

    @property
    def fingerprint(self) -> str:
        """Hex digest of what decides the stream; a position means nothing under another one."""
        digest = hashlib.sha256(np.ascontiguousarray(self.num_frames, "<i8").tobytes())
        spec = self.train
        numbers = (
            self.content,
            spec.seed,
            _micro_batch_frames(spec),
            spec.micro_batches_per_update,
            SAME_LENGTH,
            *([spec.crop_frames_multiple] if spec.crop_frames_multiple > 1 else []),
        )
        digest.update(repr(numbers).encode())
        return digest.hexdigest()


def fixed_micro_batches(num_frames: Integers, train: TrainSpec) -> tuple[MicroBatch, ...]:
    """Groups for validation: nothing random, longest first, ties in the order of the input."""
    if not len(num_frames):
        return ()
    train = train.model_copy(update={"crop_frames_multiple": 1})  # validation is not compiled
    epoch = _cut(np.argsort(-num_frames, kind="stable"), num_frames, train, 0)
    return tuple(epoch.micro_batch(number) for number in range(epoch.num_micro_batches))


def rank_share(micro_batches: tuple[MicroBatch, ...], rank: int, world: int) -> tuple[MicroBatch, ...]:
    """The groups of an update that one rank computes: number i belongs to rank i % world.

    Raises ValueError if the ranks would get different numbers of groups.
    """
    if len(micro_batches) % world:
        possible = [count for count in range(1, len(micro_batches) + 1) if len(micro_batches) % count == 0]
        raise ValueError(
            f"{len(micro_batches)} groups an update cannot be shared by {world} processes; "
            f"possible: {', '.join(map(str, possible))}"
        )
    return micro_batches[rank::world]


def _micro_batch_frames(train: TrainSpec) -> int:
    return int(train.group_seconds * FRAME_RATE_HZ)


def _shuffle_epoch(num_frames: Integers, train: TrainSpec, number: int) -> Epoch:
    """Sort by length, longest first, ties at random; cut into groups; shuffle the groups."""
    rng = rng_for(train.seed, "epoch", number)
    sort_lengths = num_frames if train.crop_frames_multiple > 1 else _buckets(num_frames)
    order = np.lexsort((rng.random(len(num_frames)), -sort_lengths))
    sorted_epoch = _cut(order, num_frames, train, number)
    shuffled = rng.permutation(sorted_epoch.num_micro_batches)
    starts, sizes = sorted_epoch.bounds[shuffled], np.diff(sorted_epoch.bounds)[shuffled]
    bounds = np.append(0, np.cumsum(sizes))
    # Gather each group's run of `order` in the shuffled order of groups.
    gather_indices = np.arange(len(order)) + np.repeat(starts - bounds[:-1], sizes)
    return Epoch(number, order[gather_indices], bounds, sorted_epoch.num_frames[shuffled])


def _cut(order: Integers, num_frames: Integers, train: TrainSpec, number: int) -> Epoch:
    """Cut utterances, sorted longest first, into groups."""
    lengths, budget = num_frames[order], _micro_batch_frames(train)
    even = train.crop_frames_multiple > 1
    starts = _even_starts(lengths, budget) if even else _starts(lengths, _buckets(lengths), budget)
    return Epoch(
        number=number,
        utterances=order,
        bounds=np.append(starts, len(order)),
        num_frames=np.minimum.reduceat(lengths, starts),
    )


def _crops(num_frames: Integers, multiple: int) -> Integers:
    """Frames of the longest crop of each utterance: a multiple, or all of one that is shorter."""
    crops: Integers = np.where(num_frames < multiple, num_frames, num_frames // multiple * multiple)
    return crops


def _buckets(num_frames: Integers) -> Integers:
    """Numbers of the classes of length, (N,)."""
    classes: Integers = np.floor(np.log(num_frames) / np.log1p(SAME_LENGTH)).astype(np.int64)
    return classes


def _starts(num_frames: Integers, buckets: Integers, budget: int) -> Integers:
    """Where groups begin in utterances sorted by bucket, longest first (fairseq's max_tokens rule).

    A group takes as many as fit the budget at the longest length of the bucket it begins in.
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


def _even_starts(num_frames: Integers, budget: int) -> Integers:
    """Where groups begin in utterances sorted by frames, longest first.

    A group has as many utterances as fit the budget at its shortest, so that those that end in a
    run of equal lengths have the size of those inside it, wherever they begin.
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
