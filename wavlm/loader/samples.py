"""Training samples: the crops, labels and mixing of one micro-batch, as numpy arrays, without torch.

Crops stay the int16 samples of the shards. What mixing and effects change is kept beside them as float32. So half the
bytes of float32 go to the trainer and the device, and samples that do not change are never converted here.

Legend: B utterances of a micro-batch, N samples, F frames, U utterances of several micro-batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError
from wavlm.execution.job import TrainJob
from wavlm.loader.draws import Counts
from wavlm.loader.epochs import Integers, MicroBatch
from wavlm.loader.groups import plan_draws
from wavlm.loader.sampler import BucketedSampler, ShortCropError
from wavlm.loader.utterances import LabelledUtterances, Labels, cache_of, read_crops
from wavlm.mixing.audio_pool import AudioPool
from wavlm.mixing.counts import MixingCounts
from wavlm.mixing.effects import apply_effects, require_packages
from wavlm.mixing.mix import NUM_DRAWS, Change, mix
from wavlm.rng import Numbers, StreamSeeds, advance, rng_for, stream_seeds, uniforms
from wavlm.shards.flac import PCM16_SCALE, Pcm16
from wavlm.shards.listing import read_sample_rate
from wavlm.specs import EffectName, MixSpec
from wavlm.specs.frames import FrameGrid

Waveforms = npt.NDArray[np.float32]

# Use of the random numbers of an utterance: number 0 for its crop, NUM_DRAWS for mixing, the others for its mask.
MIX_FROM, MASK_FROM = 1, 1 + NUM_DRAWS


@dataclass(frozen=True)
class MicroBatchArrays:
    """The content of a batch as numpy arrays, which go from a worker to the trainer without shared memory."""

    pcm: Pcm16  # (B, N) as read
    changes: tuple[Change[Waveforms], ...]  # of mixing and effects, in the order in which they are applied
    labels: Labels  # (B, F)
    mask_seeds: StreamSeeds  # (B,) of the random numbers of the masks
    keys: tuple[str, ...]  # (B,)
    utterances: Integers  # (B,) their numbers
    mixing: MixingCounts  # what mixing and effects did

    @property
    def waveforms(self) -> Waveforms:
        """The crops with all changes, (B, N); a new array each time."""
        waveforms = self.pcm * PCM16_SCALE
        for change in self.changes:
            change.apply_to(waveforms)
        return waveforms


@dataclass(frozen=True)
class DrawnMicroBatch:
    """A micro-batch and its random draws; only effects draw later, when they are applied."""

    micro_batch: MicroBatch
    keys: tuple[str, ...]
    streams: tuple[str, ...]  # (B,) names of the random numbers of this epoch
    first_frames: list[int]  # of the crops, in their utterances
    mixing: Numbers  # (B, NUM_DRAWS)
    mask_seeds: StreamSeeds  # (B,) of the random numbers of the masks


class TrainingSamples:
    """The training utterances of a job: draws their crops and mixing, and makes the arrays of micro-batches.

    Raises ValueError if the network is for another sample rate, and BadDataError for missing shards or labels.
    """

    def __init__(self, job: TrainJob, *, check: bool = True) -> None:
        """check: as of `LabelledUtterances`."""
        rate_hz = read_sample_rate(*(item.shards for item in job.data), *job.noise, *job.rooms)
        grid = _find_frames(job, rate_hz)
        require_packages(job.mix.effects if job.mix else ())
        self._train = job.train
        self._mix = job.mix
        cache = cache_of(job)
        self._noise = AudioPool(job.noise, "train", cache, rate_hz, check=check) if job.noise else None
        self._rirs = AudioPool(job.rooms, "train", cache, rate_hz, check=check) if job.rooms else None
        self.utterances = LabelledUtterances(job.data, "train", cache, grid, check=check)

    def sampler(self) -> BucketedSampler:
        """The bucketed batch sampler of these utterances.

        Raises ValueError, naming an utterance that is too short, and UsageError as `plan_draws`.
        """
        frames = self.utterances.frames_of_crops(self._train)
        try:
            draws = plan_draws(self.utterances.groups, frames, self._train)
            windows = self.utterances.plan_windows(self._train)
            digest, cache = self.utterances.digest, self.utterances.cache
            return BucketedSampler(frames, self._train, digest, draws, windows, cache, self.utterances.grid.rate_hz)
        except ShortCropError as error:
            grid = self.utterances.grid
            raise ValueError(
                f"a crop of {error.found_frames} frames, masks need {error.needed_frames}; "
                f"at utterance {self.utterances.keys[error.utterance]}; raise shards.min_seconds to "
                f"{grid.samples_of(error.needed_frames) / grid.sample_rate_hz}, or train.max_crop_seconds if that is "
                "lower"
            ) from error

    def draw(self, micro_batches: Sequence[MicroBatch]) -> list[DrawnMicroBatch]:
        """Draw crops, mixing and mask seeds. The draws of a micro-batch depend on it and on the seed alone.

        Pass many micro-batches at once: the time goes into the calls of numpy, and not into what it computes.
        """
        keys = [self.utterances.keys_of(micro_batch.utterances) for micro_batch in micro_batches]
        streams = [_name_streams(names, item.repeats) for names, item in zip(keys, micro_batches, strict=True)]
        begin = np.concatenate(
            [
                stream_seeds(self._train.seed, ("sample", micro_batch.position.epoch), names)
                for micro_batch, names in zip(micro_batches, streams, strict=True)
            ]
        )
        numbers, mask_seeds = uniforms(begin, MASK_FROM), advance(begin, MASK_FROM)
        firsts = self._first_frames(micro_batches, numbers[:, 0])
        drawn, at = [], 0
        for micro_batch, names, named in zip(micro_batches, keys, streams, strict=True):
            part = slice(at, at + len(names))
            mixing = numbers[part, MIX_FROM:]
            drawn.append(DrawnMicroBatch(micro_batch, names, named, firsts[part], mixing, mask_seeds[part]))
            at = part.stop
        return drawn

    def make(self, drawn: DrawnMicroBatch) -> MicroBatchArrays:
        """Read, crop and mix the utterances of a micro-batch. Raises BadDataError with shard and key."""
        utterances = drawn.micro_batch.utterances
        pcm, labels = read_crops(self.utterances, drawn.micro_batch, drawn.first_frames)
        changes, mixing = self._make_changes(self._mix, pcm, drawn)
        return MicroBatchArrays(pcm, changes, labels, drawn.mask_seeds, drawn.keys, utterances, mixing)

    def _first_frames(self, micro_batches: Sequence[MicroBatch], numbers: Numbers) -> list[int]:
        """The first frame of a crop of each utterance, uniform, from random numbers in [0, 1) (U,)."""
        lengths = self.utterances.num_samples[np.concatenate([g.utterances for g in micro_batches])]
        crops = np.repeat([g.num_frames for g in micro_batches], [len(g.utterances) for g in micro_batches])
        spare = self.utterances.grid.count(lengths) - crops
        firsts: list[int] = (numbers * (spare + 1)).astype(np.int64).tolist()
        return firsts

    def _make_changes(
        self, spec: MixSpec | None, pcm: Pcm16, drawn: DrawnMicroBatch
    ) -> tuple[tuple[Change[Waveforms], ...], MixingCounts]:
        """The changes of crops (B, N) by mixing and then by effects, in the order of the rows, and their counts."""
        if spec is None:
            return (), MixingCounts(utterances=len(drawn.keys))
        same = drawn.micro_batch.utterances if drawn.micro_batch.repeats is not None else None
        mixed = mix(pcm, drawn.keys, drawn.mixing, spec, self._noise, same)
        changes = {change.row: change for _, change in mixed}
        applied: list[EffectName] = []
        epoch = drawn.micro_batch.position.epoch
        for row, key in enumerate(drawn.keys if spec.effects else ()):
            before = _apply_change(pcm[row], changes.get(row))
            rng = rng_for(self._train.seed, "effects", epoch, drawn.streams[row])
            draw_rir = self._rirs.draw if self._rirs else None
            after = apply_effects(before, spec.effects, rng, draw_rir, self.utterances.grid.sample_rate_hz)
            if after.applied:
                changes[row] = Change(row, 0, require_finite(after.waveform, key))
                applied += dict.fromkeys(after.applied)  # an effect that a mix lists twice counts once
        counts = MixingCounts.of(len(drawn.keys), [event for event, _ in mixed], applied)
        return tuple(changes[row] for row in sorted(changes)), counts


def _name_streams(keys: tuple[str, ...], repeats: Counts | None) -> tuple[str, ...]:
    """Names of the random numbers of draws (B,): the key, so that it is the same wherever the utterance comes.

    A draw that is not the first of its utterance in the epoch has a number behind a sign that no key has.
    """
    if repeats is None:
        return keys
    return tuple(f"{key}#{repeat}" if repeat else key for key, repeat in zip(keys, repeats.tolist(), strict=True))


def require_finite(waveform: Waveforms, key: str) -> Waveforms:
    """The waveform (N,) after effects; raises BadDataError if a sample is not finite.

    Mixing needs no such check: it adds int16 samples, scaled by a ratio that the spec limits.
    """
    if not np.isfinite(waveform).all():
        raise BadDataError(
            "NOT_FINITE", f"a waveform after effects is not finite; at {key}; narrow the effects of the mix"
        )
    return waveform


def _apply_change(pcm: Pcm16, change: Change[Waveforms] | None) -> Waveforms:
    """The samples of a row (N,) with its change, as float32."""
    waveform = pcm * PCM16_SCALE
    if change is not None:
        waveform[change.start_samples :][: len(change.waveform)] = change.waveform
    return waveform


def _find_frames(job: TrainJob, sample_rate_hz: int) -> FrameGrid:
    """The frames of the network of a job. Raises ValueError unless it is for the sample rate of the shards."""
    grid = FrameGrid.of(job.network)
    if grid.sample_rate_hz != sample_rate_hz:
        raise ValueError(
            f"the network makes {grid}, the shards have {sample_rate_hz} Hz; at network.conv_layers; take strides "
            f"whose product is {FrameGrid.standard(sample_rate_hz).hop_samples}, for 50 frames per second, or give the "
            f"network sample_rate_hz {sample_rate_hz}"
        )
    return grid
