"""Validation batches: the clean valid split and the fixed mixtures, with the same crops and masks every time.

Legend: B utterances, N samples, F frames.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError
from wavlm.execution.job import TrainJob
from wavlm.loader.batch import PackedBatch, pack
from wavlm.loader.epochs import Integers, MicroBatch
from wavlm.loader.sampler import fixed_micro_batches
from wavlm.loader.samples import MicroBatchArrays
from wavlm.loader.utterances import LabelledUtterances, Labels, cache_of, frames_of_crops, read_crops
from wavlm.mixing.counts import MixingCounts
from wavlm.mixing.truth import Truth, read_truth
from wavlm.rng import stream_seeds
from wavlm.shards import Reader
from wavlm.shards.flac import Pcm16
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid

log = logging.getLogger(__name__)

Subset = Literal["clean", "mixed"]


class MixedUtterances:
    """The fixed mixtures whose primary utterances are among the clean utterances, with the labels of these."""

    def __init__(self, mixtures_dir: Path, clean: LabelledUtterances) -> None:
        self._clean, self.grid = clean, clean.grid
        self._reader = Reader(mixtures_dir, sample_rate_hz=self.grid.sample_rate_hz)
        index = self._reader.index
        truth = {item.key: item for item in read_truth(mixtures_dir)}
        if strange := sorted(set(index.keys) ^ set(truth)):
            raise BadDataError(
                "TRUTH_UNREADABLE",
                f"truth and index differ, at {', '.join(strange[:5])}; in {mixtures_dir}; make the mixtures again",
            )
        number_of = _find_numbers(clean.sha256s, {item.primary_sha256 for item in truth.values()})
        rows = [r for r, key in enumerate(index.keys) if truth[key].primary_sha256 in number_of]
        if len(rows) < len(index):
            log.info("%d of %d mixtures are left out: they are of other corpora", len(index) - len(rows), len(index))
        self._rows = rows
        self._truth = [truth[index.keys[row]] for row in rows]
        self._primaries = [number_of[item.primary_sha256] for item in self._truth]
        self._keys = index.keys[rows]
        self.num_samples: Integers = index.samples[rows]

    def keys_of(self, numbers: Integers) -> tuple[str, ...]:
        """The keys of these mixtures."""
        return tuple(self._keys[numbers])

    def first_frames(self, numbers: Integers, frames: int) -> list[int]:
        """Where the crops (B, F) of these mixtures begin: what was added is in the middle, and its loudest part inside.

        Raises BadDataError if nothing that was added would be in a crop.
        """
        return [_find_first_frame(self._truth[number], frames, self.grid) for number in numbers]

    def count(self, numbers: Integers) -> MixingCounts:
        """What was done to these mixtures."""
        truths = [self._truth[number] for number in numbers]
        effects = [name for item in truths for name in dict.fromkeys(item.effect_names)]
        return MixingCounts.of(len(truths), [item.event for item in truths], effects)

    def fill(self, pcm: Pcm16, numbers: Integers, first_frames: Sequence[int]) -> None:
        """Fill `pcm` (B, N) with the crops of these mixtures that begin at these frames."""
        for crop, number, first in zip(pcm, numbers, first_frames, strict=True):
            self._reader.fill(crop, self._rows[number], first * self.grid.hop_samples)

    def labels(self, numbers: Integers, first_frames: Sequence[int], frames: int) -> Labels:
        """Labels (B, F) of the primary utterance of each of these mixtures, from its first frame on."""
        firsts = [self._truth[number].first_frame + first for number, first in zip(numbers, first_frames, strict=True)]
        primaries = np.array([self._primaries[number] for number in numbers])
        return self._clean.labels(primaries, firsts, frames)


def _find_numbers(sha256s: npt.NDArray[np.void], wanted: Collection[str]) -> dict[str, int]:
    """The number of each utterance whose sha256 is wanted, by that in hex; of equal ones the last."""
    is_wanted = np.isin(sha256s, np.array([bytes.fromhex(text) for text in sorted(wanted)], sha256s.dtype))
    return {bytes(sha256s[number]).hex(): number for number in np.flatnonzero(is_wanted).tolist()}


def _find_first_frame(item: Truth, frames: int, grid: FrameGrid = PAPER_FRAMES) -> int:
    """The first frame of the crop of a mixture; see MixedUtterances.first_frames."""
    samples, loudest = grid.samples_of(frames), item.loudest_samples
    hop = grid.hop_samples
    middle = (item.start_samples + item.end_samples) // 2
    centre = min(max(middle, loudest - samples // 4), loudest + samples // 4)
    last = int(grid.count(item.num_samples)) - frames
    first = min(max(0, round((centre - samples / 2) / hop)), last)
    begin = first * hop
    is_inside = begin <= loudest < begin + samples
    if not is_inside or not item.scale or item.end_samples <= item.start_samples:
        raise BadDataError(
            "MIXTURE_UNHEARD",
            f"what was mixed into it is not in the crop of {frames} frames from frame {first} on; at {item.key}; make "
            "the mixtures again (wavlm stage mixtures RECIPE --redo)",
        )
    return first


class ValidationSamples:
    """Makes the arrays of the micro-batches of one validation set, always with the same crops and masks.

    Crops of clean utterances begin at frame 0, crops of mixtures where what was added is heard.
    """

    def __init__(self, job: TrainJob, subset: Subset, clean: LabelledUtterances | None = None) -> None:
        """clean: the utterances of held-out speech, if they are open already."""
        self._train = job.train
        clean = clean or open_held_out(job)
        self.grid = clean.grid
        self._source: LabelledUtterances | MixedUtterances | None = clean
        if subset == "mixed":
            self._source = MixedUtterances(job.mixtures, clean) if job.mixtures else None

    def micro_batches(self, corpus: int | None = None, languages: Collection[str] = ()) -> tuple[MicroBatch, ...]:
        """The set, or its utterances of one corpus or of some languages, in micro-batches, longest first; or none.

        `corpus`: its place in the job's data. Both are of clean utterances alone.
        """
        if self._source is None:
            return ()
        frames = frames_of_crops(self._source.num_samples, self._train, self.grid)
        is_whole = corpus is None and not languages
        if is_whole or not isinstance(self._source, LabelledUtterances):
            return fixed_micro_batches(frames, self._train, self.grid.rate_hz)
        chosen = self._source.numbers_of(corpus, languages)
        found = fixed_micro_batches(frames[chosen], self._train, self.grid.rate_hz)
        return tuple(replace(item, utterances=chosen[item.utterances]) for item in found)

    def make(self, micro_batch: MicroBatch) -> MicroBatchArrays:
        """The arrays of one of `micro_batches()`."""
        assert self._source is not None, "a set without micro-batches has nothing to make"  # noqa: S101
        keys = self._source.keys_of(micro_batch.utterances)
        firsts, mixing = [0] * len(keys), MixingCounts(utterances=len(keys))
        if isinstance(self._source, MixedUtterances):
            firsts = self._source.first_frames(micro_batch.utterances, micro_batch.num_frames)
            mixing = self._source.count(micro_batch.utterances)
        pcm, labels = read_crops(self._source, micro_batch, firsts)
        mask_seeds = stream_seeds(self._train.seed, ("mask", "valid"), keys)
        return MicroBatchArrays(pcm, (), labels, mask_seeds, keys, micro_batch.utterances, mixing)


def open_held_out(job: TrainJob, *, check: bool = True) -> LabelledUtterances:
    """The utterances that a job is validated on. check: as of `LabelledUtterances`."""
    return LabelledUtterances(job.data, "valid", cache_of(job), FrameGrid.of(job.network), check=check)


def validation_batches(job: TrainJob, subset: Subset, rank: int = 0, world: int = 1) -> Iterator[PackedBatch]:
    """A rank's part of a validation set, the same every time.

    `clean` is the valid split, each utterance from its beginning. `mixed` is the fixed mixtures, with the labels of
    their primary utterances. An empty set gives no batch.
    """
    return make_validation(job, subset, rank, world)()


def make_validation(
    job: TrainJob, subset: Subset, rank: int = 0, world: int = 1, clean: LabelledUtterances | None = None
) -> Callable[..., Iterator[PackedBatch]]:
    """`validation_batches` as a function to call at each validation. The indexes are read now, and never again.

    Its arguments are the place of a corpus in the job's data, or names of languages: to get the clean utterances of
    these alone. clean: the utterances of held-out speech, if they are open already.
    """
    samples = ValidationSamples(job, subset, clean)

    def batches(corpus: int | None = None, languages: Collection[str] = ()) -> Iterator[PackedBatch]:
        for micro_batch in samples.micro_batches(corpus, languages)[rank::world]:
            arrays = samples.make(micro_batch)
            at = micro_batch.position
            yield pack(arrays, job.train.mask, at, at, sample_rate_hz=samples.grid.sample_rate_hz)

    return batches
