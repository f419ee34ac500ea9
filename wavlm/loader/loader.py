"""The training data loader: batches of a rank in a fixed order, from any position on, without end.

The order of batches and every number in them follow from the shards, the labels, the spec and the seed. The numbers
of workers and ranks and restarts change nothing, because every random number is named after epoch and utterance.

A batch takes this way:

1. The bucketed batch sampler gives the micro-batches of an update; each rank takes its part (wavlm.loader.sampler).
2. This process draws all that is random about a micro-batch (TrainingSamples.draw in wavlm.loader.samples).
3. A worker process reads the crops and labels and mixes them (TrainingSamples.make, wavlm.loader.workers).
4. This process compares the result with the plan and packs it (wavlm.loader.batch).

Two things differ from the reference. Crops begin at multiples of a frame's hop, so that labels fit exactly. And the
waveform normalisation of Large is done in the network, on the mixed crop; the reference normalises the whole
utterance, crops, mixes, and then normalises the crop again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, tee

from wavlm.errors import BadDataError
from wavlm.execution.job import TrainJob
from wavlm.loader.ahead import fetch_ahead, find_caches
from wavlm.loader.batch import PackedBatch, pack
from wavlm.loader.epochs import SamplerState
from wavlm.loader.sampler import BucketedSampler, Update, rank_share
from wavlm.loader.samples import DrawnMicroBatch, MicroBatchArrays, TrainingSamples
from wavlm.loader.staging import Stager
from wavlm.loader.utterances import cache_of
from wavlm.loader.windows import WindowedEpoch
from wavlm.loader.workers import make_in_order
from wavlm.specs import MaskSpec

log = logging.getLogger(__name__)

DRAWN_TOGETHER = 16  # micro-batches
WINDOWS = "windows"  # folder of the copied windows, on the scratch disk


class NotDeliveredError(BadDataError):
    """A worker delivered other utterances than were planned."""


def make_sampler(job: TrainJob) -> BucketedSampler:
    """The bucketed batch sampler of a job. Store its `fingerprint` with every sampler state."""
    return TrainingSamples(job).sampler()


def loader(
    job: TrainJob,
    position: SamplerState,
    rank: int = 0,
    world: int = 1,
    samples: TrainingSamples | None = None,
    *,
    stages: bool = True,
) -> Iterator[PackedBatch]:
    """The batches of a rank from a sampler state on, without end. samples: the job's, if they are open already.

    stages: copy windows of shards to the scratch disk. One process of a machine does so.

    Each update has `micro_batches_per_update / world` batches per rank. Raises ValueError at once if that is no whole
    number, and BadDataError with shard and key for data that cannot be read.
    """
    samples = samples or TrainingSamples(job)
    sampler = samples.sampler()
    updates, is_elsewhere = sampler.updates(position), find_caches(samples.utterances.folders)
    if is_elsewhere and not sampler.windows:
        updates = fetch_ahead(updates, samples.utterances.tars)
    if sampler.windows and not job.runtime.scratch and not is_elsewhere:
        log.info("windows of the size of %d shards are read in random order: no --scratch", sampler.windows.most_shards)
    elif sampler.windows:
        folder = cache_of(job) / WINDOWS
        samples.utterances.read_staged(folder)
        if stages:
            updates = _stage(sampler, updates, partial(Stager, folder, samples.utterances.describe_segments))
    first = next(updates)
    rank_share(first.micro_batches, rank, world)  # raises now, and not at the first batch
    planned, plan_for_workers = tee(_plan(samples, chain((first,), updates), rank, world))
    made = make_in_order(samples, (item.drawn for item in plan_for_workers), job.runtime.loaders)
    return _deliver(planned, made, job.train.mask, samples.utterances.grid.sample_rate_hz)


def _stage(sampler: BucketedSampler, updates: Iterator[Update], make_stager: Callable[[], Stager]) -> Iterator[Update]:
    """The same updates. When a window begins, it and the next one are copied."""
    at: tuple[int, int] | None = None
    # Loaders are forked after the first update: nothing may be copied by then, because a fork copies no thread.
    yield next(updates)
    with closing(make_stager()) as stager:
        for update in updates:
            position = update.micro_batches[-1].position
            epoch = sampler.epoch(position.epoch)
            if isinstance(epoch, WindowedEpoch) and at != (epoch.number, epoch.window_of(position.group)):
                at = (epoch.number, epoch.window_of(position.group))
                near = range(at[1], min(at[1] + 2, len(epoch.segments)))
                stager.need([(f"{at[0]}-{number}", epoch.segments[number].tolist()) for number in near])
            yield update


@dataclass(frozen=True)
class _Planned:
    """A micro-batch that this rank has to deliver."""

    drawn: DrawnMicroBatch
    after: SamplerState  # after the update that it belongs to
    heard: tuple[int, ...]  # frames of each of `Groups.names` in all micro-batches of this update


def _plan(samples: TrainingSamples, updates: Iterator[Update], rank: int, world: int) -> Iterator[_Planned]:
    """The micro-batches of this rank with their random draws, many drawn in one call (see TrainingSamples.draw)."""
    own = (
        (micro_batch, update.after, heard)
        for update in updates
        for heard in (samples.utterances.groups.count_frames(update.micro_batches),)
        for micro_batch in rank_share(update.micro_batches, rank, world)
    )
    while True:
        micro_batches, afters, heard = zip(*islice(own, DRAWN_TOGETHER), strict=True)
        yield from map(_Planned, samples.draw(micro_batches), afters, heard)


def _deliver(
    planned: Iterator[_Planned], made: Iterator[MicroBatchArrays], mask: MaskSpec, sample_rate_hz: int
) -> Iterator[PackedBatch]:
    """Batches of the arrays. Each is compared with the plan, so that no lost utterance goes unnoticed."""
    epoch, num_utterances = None, 0
    for item, arrays in zip(planned, made, strict=True):
        position = item.drawn.micro_batch.position
        _check_delivered(item, arrays)
        if epoch is not None and position.epoch != epoch:
            log.info("epoch %d is over: %d utterances on this rank", epoch, num_utterances)
            num_utterances = 0
        epoch = position.epoch
        num_utterances += len(arrays.keys)
        yield pack(arrays, mask, position, item.after, item.heard, sample_rate_hz)


def _check_delivered(item: _Planned, arrays: MicroBatchArrays) -> None:
    micro_batch = item.drawn.micro_batch
    if arrays.utterances.tolist() != micro_batch.utterances.tolist():
        raise NotDeliveredError(
            "NOT_DELIVERED",
            f"a worker delivered {len(arrays.keys)} utterances that differ from the {len(micro_batch.utterances)} "
            f"planned ones; at epoch {micro_batch.position.epoch}, micro-batch {micro_batch.position.group}; "
            "run again, and report it if it happens twice",
        )
