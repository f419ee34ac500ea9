"""Bucketed batch sampler: groups utterances of similar length into micro-batches, epoch after epoch.

Terms:

- Bucket: utterances whose lengths differ by about 3 % at most. They count as equally long.
- Micro-batch: utterances of similar length, all cropped to the shortest of them, so that nothing is padded. It is the
  paper's batch of one GPU, and holds at most `group_seconds` of audio. Its utterances are mixed with each other.
- Update: the `micro_batches_per_update` micro-batches of one optimizer step, whatever the number of ranks.
- Sampler state: an epoch and the number of micro-batches delivered in it. From a state, the stream of micro-batches
  continues at once; nothing is replayed.

How an epoch is made: `wavlm.loader.epochs`, and of a corpus in windows `wavlm.loader.windows`. It depends on lengths,
spec and seed alone. An epoch has every utterance once, unless a recipe gives shares of corpora or languages: then draws
take the place of utterances (`wavlm.loader.draws`).

With `crop_frames_multiple`, crops have a multiple of so many frames, and all micro-batches of one length have the same
number of utterances. The batches of a corpus then have as many shapes as there are multiples, and one more for what is
left at the end of an epoch. A compiled network needs few shapes.

Legend: U utterances, D draws of an epoch (all U if each is drawn once), M micro-batches of an epoch, B utterances of a
micro-batch.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from wavlm.loader.draws import DrawPlan
from wavlm.loader.epochs import (
    SAME_LENGTH,
    Epoch,
    Integers,
    MicroBatch,
    SamplerState,
    crop_frames,
    cut_micro_batches,
    frame_budget,
    shuffle_epoch,
)
from wavlm.loader.windows import WindowedEpoch, Windows
from wavlm.rng import rng_for
from wavlm.specs import TrainSpec
from wavlm.specs.base import FRAME_RATE_HZ
from wavlm.storage.columns import ColumnWriter, open_columns

# An epoch of more draws is made once per machine, and mapped by all ranks: of 30 million, sorting takes half a minute
# and 2 GB, the result 120 MB.
FEW_DRAWS = 1 << 18


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


@dataclass
class BucketedSampler:
    """The endless stream of micro-batches for utterances of these lengths.

    Raises ValueError if there is no utterance, and ShortCropError if a crop would be too short for a mask.
    """

    num_frames: npt.NDArray[Any]  # (U,) of each utterance, already limited to the longest crop
    train: TrainSpec
    content: str = ""  # digest of what the utterances are
    draws: DrawPlan | None = None  # None: every utterance once per epoch
    windows: Windows | None = None  # None: an epoch is one window
    cache: Path | None = None  # where the epochs of many utterances are kept for all ranks of a machine
    rate_hz: float = FRAME_RATE_HZ  # of the frames
    _last: Epoch | WindowedEpoch | None = field(default=None, repr=False)  # that was made last

    def __post_init__(self) -> None:
        if not len(self.num_frames):
            raise ValueError("no utterance to train on; in the train split; lower valid_fraction, or add speech")
        # Of mapped frames nothing is copied: the shortest utterance has the shortest crop.
        shortest = crop_frames(self.num_frames.min(keepdims=True), self.train.crop_frames_multiple)
        if shortest[0] < self.train.min_crop_frames:
            crops = crop_frames(self.num_frames, self.train.crop_frames_multiple)
            raise ShortCropError(int(crops.argmin()), int(shortest[0]), self.train.min_crop_frames)

    def epoch(self, number: int) -> Epoch | WindowedEpoch:
        """The micro-batches of one epoch, in the order of delivery."""
        if self._last is None or self._last.number != number:
            self._last = self._make_epoch(number)
        return self._last

    def _make_epoch(self, number: int) -> Epoch | WindowedEpoch:
        if self.windows:
            return WindowedEpoch(number, self.train, self.windows, self.num_frames, self.draws, self.rate_hz)
        if self.cache is None or len(self.num_frames) <= FEW_DRAWS:
            return self._shuffle(number)
        name = f"epoch-{self.fingerprint[:16]}"
        for old in self.cache.glob(f"{name}-*"):
            if old.name not in {f"{name}-{near}{end}" for near in (number - 1, number) for end in ("", ".lock")}:
                shutil.rmtree(old, ignore_errors=True)
        found = open_columns(self.cache / f"{name}-{number}", partial(self._write_epoch, number))
        repeats = found["repeats"] if "repeats" in found.arrays else None
        return Epoch(number, found["utterances"], found["bounds"], found["num_frames"], repeats)

    def _shuffle(self, number: int) -> Epoch:
        """The whole epoch, in memory."""
        rng = rng_for(self.train.seed, "epoch", number)
        frames = crop_frames(self.num_frames, self.train.crop_frames_multiple).astype(np.int64)
        if self.draws is None:
            return shuffle_epoch(frames, rng.random(len(frames)), self.train, number, rng, self.rate_hz)
        drawn = self.draws.draw(number)
        frames, places = frames[drawn.utterances], drawn.places(rng)
        epoch = shuffle_epoch(frames, places, self.train, number, rng, self.rate_hz)
        return epoch.of(drawn.utterances, drawn.repeats)

    def _write_epoch(self, number: int, writer: ColumnWriter) -> Mapping[str, JsonValue]:
        epoch = self._shuffle(number)
        writer.append("utterances", epoch.utterances, "<u4")
        writer.append("bounds", epoch.bounds, "<i8")
        writer.append("num_frames", epoch.num_frames, "<u4")
        if epoch.repeats is not None:
            writer.append("repeats", epoch.repeats, "<i4")
        return {}

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

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of all that the stream depends on. A sampler state is valid only with the same fingerprint."""
        digest = hashlib.sha256()
        for begin in range(0, len(self.num_frames), FEW_DRAWS):
            digest.update(np.ascontiguousarray(self.num_frames[begin : begin + FEW_DRAWS], "<i8").tobytes())
        spec = self.train
        numbers = (
            self.content,
            spec.seed,
            frame_budget(spec, self.rate_hz),
            spec.micro_batches_per_update,
            SAME_LENGTH,
            *([spec.crop_frames_multiple] if spec.crop_frames_multiple > 1 else []),
            *([self.draws.fingerprint] if self.draws else []),
            *([self.windows.fingerprint] if self.windows else []),
        )
        digest.update(repr(numbers).encode())
        return digest.hexdigest()


def fixed_micro_batches(
    num_frames: Integers, train: TrainSpec, rate_hz: float = FRAME_RATE_HZ
) -> tuple[MicroBatch, ...]:
    """Micro-batches for validation: nothing is random; longest first, equal lengths in the order of the input."""
    if not len(num_frames):
        return ()
    train = train.model_copy(update={"crop_frames_multiple": 1})  # validation is not compiled
    epoch = cut_micro_batches(np.argsort(-num_frames, kind="stable"), num_frames, train, 0, rate_hz)
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
