"""Bucketed batch sampler: groups utterances of similar length into micro-batches, epoch after epoch.

Terms:

- Bucket: utterances whose lengths differ by about 3 % at most. They count as equally long.
- Micro-batch: utterances of similar length, all cropped to the shortest of them, so that nothing is padded. It is the
  paper's batch of one GPU, and holds at most `group_seconds` of audio. Its utterances are mixed with each other.
- Update: the `micro_batches_per_update` micro-batches of one optimizer step, whatever the number of ranks.
- Sampler state: an epoch and the number of micro-batches delivered in it. From a state, the stream of micro-batches
  continues at once; nothing is replayed.

How an epoch is made: sort the utterances by bucket, longest first, in random order within a bucket; cut this list into
micro-batches; shuffle the micro-batches. It depends on lengths, spec and seed alone. An epoch has every utterance once,
unless a recipe gives shares of corpora or languages: then draws take the place of utterances (`wavlm.loader.draws`).

With `crop_frames_multiple`, crops have a multiple of so many frames, and all micro-batches of one length have the same
number of utterances. The batches of a corpus then have as many shapes as there are multiples, and one more for what is
left at the end of an epoch. A compiled network needs few shapes.

Legend: U utterances, D draws of an epoch (all U if each is drawn once), M micro-batches of an epoch, B utterances of a
micro-batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from wavlm.loader.draws import Counts, DrawPlan
from wavlm.rng import rng_for
from wavlm.specs import TrainSpec
from wavlm.specs.shapes import FRAME_RATE_HZ

Integers = npt.NDArray[np.int64]

# Lengths within 3 % count as equal, so that an utterance has other mixing partners in each epoch. Sorted by exact
# length, its neighbours, and so its partners, would hardly ever change.
SAME_LENGTH = 1 / 32


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


class ShortCropError(ValueError):
    """An utterance is too short to be masked."""

    def __init__(self, utterance: int, found_frames: int, needed_frames: int) -> None:
        """`utterance` is its number in the input of the sampler."""
        super().__init__(f"a crop of {found_frames} frames, masks need {needed_frames}; at utterance {utterance}")
        self.utterance = utterance
        self.found_frames = found_frames
        self.needed_frames = needed_frames


@dataclass(frozen=True)
class Update:
    """The micro-batches of one optimizer step, and the sampler state after it."""

    micro_batches: tuple[MicroBatch, ...]
    after: SamplerState


@dataclass(frozen=True)
class Epoch:
    """One pass over all draws, usually all utterances: a permutation of them, cut into micro-batches."""

    number: int
    utterances: Integers  # (D,)
    bounds: Integers  # (M + 1,) micro-batch m holds utterances[bounds[m]:bounds[m + 1]]
    num_frames: Integers  # (M,) of each crop
    repeats: Counts | None = None  # (D,) how often the same utterance was drawn before; None: each once

    @property
    def num_micro_batches(self) -> int:
        return len(self.num_frames)

    def micro_batch(self, number: int) -> MicroBatch:
        """The micro-batch with this number in the order of delivery."""
        part = slice(self.bounds[number], self.bounds[number + 1])
        repeats = None if self.repeats is None else self.repeats[part]
        position, num_frames = SamplerState(self.number, number), int(self.num_frames[number])
        return MicroBatch(position, self.utterances[part], num_frames, repeats)


@dataclass
class BucketedSampler:
    """The endless stream of micro-batches for utterances of these lengths.

    Raises ValueError if there is no utterance, and ShortCropError if a crop would be too short for a mask.
    """

    num_frames: Integers  # (U,) of each utterance, already limited to the longest crop
    train: TrainSpec
    content: str = ""  # digest of what the utterances are
    draws: DrawPlan | None = None  # None: every utterance once per epoch
    # The epoch that was made last: sorting 30 million utterances takes half a minute and 500 MB.
    _last: Epoch | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not len(self.num_frames):
            raise ValueError("no utterance to train on; in the train split; lower valid_fraction, or add speech")
        # Of mapped frames nothing is copied: the shortest utterance has the shortest crop.
        shortest = _crop_frames(self.num_frames.min(keepdims=True), self.train.crop_frames_multiple)
        if shortest[0] < self.train.min_crop_frames:
            crops = _crop_frames(self.num_frames, self.train.crop_frames_multiple)
            raise ShortCropError(int(crops.argmin()), int(shortest[0]), self.train.min_crop_frames)

    def epoch(self, number: int) -> Epoch:
        """The micro-batches of one epoch, in the order of delivery."""
        if self._last is None or self._last.number != number:
            crops = _crop_frames(self.num_frames, self.train.crop_frames_multiple)
            self._last = _shuffle_epoch(crops.astype(np.int64), self.train, number, self.draws)
        return self._last

    def updates(self, position: SamplerState) -> Iterator[Update]:
        """All updates from a sampler state on, without end. Raises ValueError if the state does not exist."""
        while True:
            micro_batches = []
            for _ in range(self.train.micro_batches_per_update):
                micro_batches.append(self._micro_batch(position))
                position = self._next_state(position)
            yield Update(tuple(micro_batches), position)

    def _micro_batch(self, position: SamplerState) -> MicroBatch:
        epoch = self.epoch(position.epoch)
        if position.group >= epoch.num_micro_batches:
            raise ValueError(
                f"epoch {position.epoch} has {epoch.num_micro_batches} micro-batches; "
                f"the sampler state asks for number {position.group}"
            )
        return epoch.micro_batch(position.group)

    def _next_state(self, position: SamplerState) -> SamplerState:
        is_last = position.group + 1 == self.epoch(position.epoch).num_micro_batches
        return SamplerState(position.epoch + 1) if is_last else SamplerState(position.epoch, position.group + 1)

    @property
    def fingerprint(self) -> str:
        """Hex digest of all that the stream depends on. A sampler state is valid only with the same fingerprint."""
        digest = hashlib.sha256(np.ascontiguousarray(self.num_frames, "<i8").tobytes())
        spec = self.train
        numbers = (
            self.content,
            spec.seed,
            _frame_budget(spec),
            spec.micro_batches_per_update,
            SAME_LENGTH,
            *([spec.crop_frames_multiple] if spec.crop_frames_multiple > 1 else []),
            *([self.draws.fingerprint] if self.draws else []),
        )
        digest.update(repr(numbers).encode())
        return digest.hexdigest()


def fixed_micro_batches(num_frames: Integers, train: TrainSpec) -> tuple[MicroBatch, ...]:
    """Micro-batches for validation: nothing is random; longest first, equal lengths in the order of the input."""
    if not len(num_frames):
        return ()
    train = train.model_copy(update={"crop_frames_multiple": 1})  # validation is not compiled
    epoch = _cut_micro_batches(np.argsort(-num_frames, kind="stable"), num_frames, train, 0)
    return tuple(epoch.micro_batch(number) for number in range(epoch.num_micro_batches))


def rank_share(micro_batches: tuple[MicroBatch, ...], rank: int, world: int) -> tuple[MicroBatch, ...]:
    """The micro-batches of an update that one rank computes: number i belongs to rank i % world.

    Raises ValueError if the ranks would get different numbers of them.
    """
    if len(micro_batches) % world:
        possible = [count for count in range(1, len(micro_batches) + 1) if len(micro_batches) % count == 0]
        raise ValueError(
            f"{len(micro_batches)} micro-batches per update cannot be shared by {world} processes; "
            f"possible: {', '.join(map(str, possible))}"
        )
    return micro_batches[rank::world]


def _frame_budget(train: TrainSpec) -> int:
    """The most frames of a micro-batch, over all its crops."""
    return int(train.group_seconds * FRAME_RATE_HZ)


def _shuffle_epoch(num_frames: Integers, train: TrainSpec, number: int, draws: DrawPlan | None = None) -> Epoch:
    """Sort by bucket, longest first, in random order within a bucket; cut into micro-batches; shuffle these."""
    rng = rng_for(train.seed, "epoch", number)
    drawn = draws.draw(number) if draws else None
    num_frames = num_frames[drawn.utterances] if drawn else num_frames  # (D,) from here on
    sort_keys = num_frames if train.crop_frames_multiple > 1 else _bucket_numbers(num_frames)
    order = np.lexsort((drawn.places(rng) if drawn else rng.random(len(num_frames)), -sort_keys))
    sorted_epoch = _cut_micro_batches(order, num_frames, train, number)
    shuffled = rng.permutation(sorted_epoch.num_micro_batches)
    starts, sizes = sorted_epoch.bounds[shuffled], np.diff(sorted_epoch.bounds)[shuffled]
    bounds = np.append(0, np.cumsum(sizes))
    # Take each micro-batch's part of `order`, in the shuffled order of micro-batches.
    gather_indices = np.arange(len(order)) + np.repeat(starts - bounds[:-1], sizes)
    order, frames_of_crops = order[gather_indices], sorted_epoch.num_frames[shuffled]
    if drawn is None:
        return Epoch(number, order, bounds, frames_of_crops)
    return Epoch(number, drawn.utterances[order], bounds, frames_of_crops, drawn.repeats[order])


def _cut_micro_batches(order: Integers, num_frames: Integers, train: TrainSpec, number: int) -> Epoch:
    """Cut utterances, sorted longest first, into micro-batches."""
    lengths, budget = num_frames[order], _frame_budget(train)
    if train.crop_frames_multiple > 1:
        starts = _find_even_starts(lengths, budget)
    else:
        starts = _find_starts(lengths, _bucket_numbers(lengths), budget)
    return Epoch(
        number=number,
        utterances=order,
        bounds=np.append(starts, len(order)),
        num_frames=np.minimum.reduceat(lengths, starts),
    )


def _crop_frames(num_frames: Integers, multiple: int) -> Integers:
    """Frames (U,) of the longest crop of each utterance: a multiple, or all frames of a shorter utterance."""
    crops: Integers = np.where(num_frames < multiple, num_frames, num_frames // multiple * multiple)
    return crops


def _bucket_numbers(num_frames: Integers) -> Integers:
    """The bucket of each utterance (U,), numbered from short to long."""
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
