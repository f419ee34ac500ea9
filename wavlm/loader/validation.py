"""Validation batches: the clean valid split and the fixed mixtures, with the same crops and masks every time.

Legend: B utterances, N samples, F frames.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np

from wavlm.execution.job import TrainJob
from wavlm.loader.batch import PackedBatch, pack
from wavlm.loader.sampler import Integers, MicroBatch, fixed_micro_batches
from wavlm.loader.samples import MicroBatchArrays
from wavlm.loader.utterances import CACHE, LabelledUtterances, Labels, Strings, frames_of_crops, read_crops
from wavlm.mixing.truth import read_truth
from wavlm.rng import stream_seeds
from wavlm.shards import Reader
from wavlm.shards.flac import Pcm16
from wavlm.specs import HOP_SAMPLES

log = logging.getLogger(__name__)

Subset = Literal["clean", "mixed"]


class MixedUtterances:
    """The fixed mixtures whose primary utterances are among the clean utterances, with the labels of these."""

    def __init__(self, mixtures_dir: Path, clean: LabelledUtterances) -> None:
        self._reader, self._clean = Reader(mixtures_dir), clean
        index = self._reader.index
        number_of = {sha256: number for number, sha256 in enumerate(clean.sha256s)}
        truth = {item.key: item for item in read_truth(mixtures_dir)}
        rows = [r for r, key in enumerate(index.keys) if truth[key].primary_sha256 in number_of]
        if len(rows) < len(index):
            log.info("%d of %d mixtures are left out: they are of other corpora", len(index) - len(rows), len(index))
        self._rows = rows
        self._truth = [truth[index.keys[row]] for row in rows]
        self._primaries = [number_of[item.primary_sha256] for item in self._truth]
        self.keys: Strings = index.keys[rows]
        self.num_samples: Integers = index.samples[rows]

    def fill(self, pcm: Pcm16, numbers: Integers, first_frames: Sequence[int]) -> None:
        """Fill `pcm` (B, N) with the crops of these mixtures that begin at these frames."""
        for crop, number, first in zip(pcm, numbers, first_frames, strict=True):
            self._reader.fill(crop, self._rows[number], first * HOP_SAMPLES)

    def labels(self, numbers: Integers, first_frames: Sequence[int], frames: int) -> Labels:
        """Labels (B, F) of the primary utterance of each of these mixtures, from its first frame on."""
        firsts = [self._truth[number].first_frame + first for number, first in zip(numbers, first_frames, strict=True)]
        primaries = np.array([self._primaries[number] for number in numbers])
        return self._clean.labels(primaries, firsts, frames)


class ValidationSamples:
    """Makes the arrays of the micro-batches of one validation set. Crops begin at frame 0, masks are fixed."""

    def __init__(self, job: TrainJob, subset: Subset) -> None:
        self._train = job.train
        clean = LabelledUtterances(job.data, "valid", job.out / CACHE)
        self._source: LabelledUtterances | MixedUtterances | None = clean
        if subset == "mixed":
            self._source = MixedUtterances(job.mixtures, clean) if job.mixtures else None

    def micro_batches(self) -> tuple[MicroBatch, ...]:
        """The set in micro-batches, longest first; none if the job has no such set."""
        if self._source is None:
            return ()
        return fixed_micro_batches(frames_of_crops(self._source.num_samples, self._train), self._train)

    def make(self, micro_batch: MicroBatch) -> MicroBatchArrays:
        """The arrays of one of `micro_batches()`."""
        assert self._source is not None, "a set without micro-batches has nothing to make"  # noqa: S101
        keys = tuple(self._source.keys[micro_batch.utterances])
        pcm, labels = read_crops(self._source, micro_batch, [0] * len(keys))
        mask_seeds = stream_seeds(self._train.seed, ("mask", "valid"), keys)
        return MicroBatchArrays(pcm, (), labels, mask_seeds, keys, micro_batch.utterances)


def validation_batches(job: TrainJob, subset: Subset, rank: int = 0, world: int = 1) -> Iterator[PackedBatch]:
    """A rank's part of a validation set, the same every time.

    `clean` is the valid split, each utterance from its beginning. `mixed` is the fixed mixtures, with the labels of
    their primary utterances. An empty set gives no batch.
    """
    return make_validation(job, subset, rank, world)()


def make_validation(
    job: TrainJob, subset: Subset, rank: int = 0, world: int = 1
) -> Callable[[], Iterator[PackedBatch]]:
    """`validation_batches` as a function to call at each validation. Only the first call reads the indexes."""
    samples = cache(partial(ValidationSamples, job, subset))

    def batches() -> Iterator[PackedBatch]:
        for micro_batch in samples().micro_batches()[rank::world]:
            arrays = samples().make(micro_batch)
            yield pack(arrays, job.train.mask, micro_batch.position, micro_batch.position)

    return batches
