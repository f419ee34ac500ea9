"""Batches for the trainer: read by index, cropped to whole frames, mixed, in a fixed order.

The order of batches and every number in them follow from the shards, the labels, the spec and the
seed; workers, ranks and restarts change nothing. All draws are named after the epoch and
the utterance.

Two things differ from the reference. Crops start on multiples of a frame's hop, so that labels fit
exactly. And Large's normalisation is left to the network, which normalises the mixed crop; the
reference normalises the whole utterance, crops, mixes, and then normalises the crop again.

Shapes: B utterances, N samples, F frames.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from wavlm.errors import BadDataError
from wavlm.execution.job import TrainJob
from wavlm.execution.processes import die_with_parent
from wavlm.loader.batch import PackedBatch, pack
from wavlm.loader.sampler import BucketedSampler, MicroBatch, SamplerState, Update, rank_share
from wavlm.loader.samples import DrawnMicroBatch, MicroBatchArrays, TrainingSamples
from wavlm.specs import MaskSpec

log = logging.getLogger(__name__)

WORKER_TIMEOUT_SECONDS = 300.0
PREFETCH_BATCHES = 4  # a worker
DRAWN_TOGETHER = 16  # groups
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class NotDeliveredError(BadDataError):
    """An epoch did not deliver exactly what was planned."""


def make_sampler(job: TrainJob) -> BucketedSampler:
    """The stream of groups of a job; its `fingerprint` belongs beside every stored position."""
    return TrainingSamples(job).sampler()


def loader(job: TrainJob, position: SamplerState, rank: int = 0, world: int = 1) -> Iterator[PackedBatch]:
    """The batches of a rank from a position on, without end.

    Each update is `micro_batches_per_update / world` batches of every rank. Raises ValueError if that is
    no whole number, BadDataError with shard and key for what cannot be read.
    """
    samples = TrainingSamples(job)
    updates = samples.sampler().updates(position)
    first = next(updates)
    rank_share(first.micro_batches, rank, world)  # complain now, not at the first batch
    tasks = _Tasks(samples, chain((first,), updates), rank, world)
    loaded = _load_arrays(samples, tasks, job.runtime.loaders)
    return _deliver(tasks, loaded, job.train.mask)


def _load_arrays(samples: TrainingSamples, tasks: _Tasks, workers: int) -> Iterator[MicroBatchArrays | _Failure]:
    """Arrays in the order of the tasks, made by worker processes that die with this one."""
    loaded = _TaskDataset(samples)
    if not workers:
        return map(loaded.__getitem__, tasks)
    return iter(
        DataLoader(
            loaded,
            sampler=tasks,
            batch_size=None,
            collate_fn=_keep_arrays,
            generator=torch.Generator(),  # torch draws a seed for workers: not from the global one
            num_workers=workers,
            prefetch_factor=PREFETCH_BATCHES,
            timeout=WORKER_TIMEOUT_SECONDS,
            # Fork shares the index and the labels; spawn would copy both into every worker.
            multiprocessing_context="fork",
            worker_init_fn=partial(_start_worker, os.getpid()),
        )
    )


def _deliver(tasks: _Tasks, loaded: Iterator[MicroBatchArrays | _Failure], mask: MaskSpec) -> Iterator[PackedBatch]:
    """Batches, compared one by one with what was planned, so that nothing is lost in silence."""
    epoch, num_utterances = None, 0
    for arrays in loaded:
        if isinstance(arrays, _Failure):
            raise BadDataError(arrays.code, arrays.text)
        task = tasks.under_way.popleft()
        position, planned = task.drawn.micro_batch.position, task.drawn.micro_batch.utterances
        if arrays.utterances.tolist() != planned.tolist():
            raise NotDeliveredError(
                "NOT_DELIVERED",
                f"{len(arrays.keys)} utterances came for {len(planned)} planned; "
                f"at epoch {position.epoch}, group {position.group}",
            )
        if epoch is not None and position.epoch != epoch:
            log.info("epoch %d is over: %d utterances on this rank", epoch, num_utterances)
            num_utterances = 0
        epoch = position.epoch
        num_utterances += len(arrays.keys)
        yield pack(arrays, mask, position, task.after)


def _keep_arrays(arrays: Any) -> Any:
    """Leave arrays alone: torch would make tensors in shared memory, which containers ration."""
    return arrays


def _start_worker(parent: int, worker: int) -> None:  # noqa: ARG001 - torch passes the number
    """Let only the trainer end a worker: by its signal, or by its death.

    A stop request often goes to all processes at once, but the trainer still needs the batches of
    the update under way. To ignore the signal would not do: Python waits for ever at its exit for
    workers that it has told to stop.
    """
    die_with_parent(parent)
    if sys.platform.startswith("linux"):  # sigwaitinfo
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        threading.Thread(target=_await_stop, args=(parent,), daemon=True).start()


def _await_stop(parent: int) -> None:
    while signal.sigwaitinfo(STOP_SIGNALS).si_pid != parent:
        pass
    os._exit(0)


@dataclass(frozen=True)
class _Task:
    drawn: DrawnMicroBatch
    after: SamplerState


@dataclass(frozen=True)
class _Failure:
    """A BadDataError on its way out of a worker, so that its code survives."""

    code: str
    text: str


class _TaskDataset(Dataset[Any]):
    """Map-style over tasks, so that the order of batches is that of the tasks for any workers."""

    def __init__(self, samples: TrainingSamples) -> None:
        self._samples = samples

    def __getitem__(self, task: _Task) -> MicroBatchArrays | _Failure:
        try:
            return self._samples.make(task.drawn)
        except BadDataError as error:
            return _Failure(error.code, str(error).removeprefix(f"{error.code}: "))


class _Tasks:
    """A sampler: what a rank has to make of updates, without end; iterable once."""

    def __init__(self, samples: TrainingSamples, updates: Iterator[Update], rank: int, world: int) -> None:
        self._samples, self._updates = samples, updates
        self._rank, self._world = rank, world
        self.under_way: deque[_Task] = deque()  # handed out and not yet delivered

    def __iter__(self) -> Iterator[_Task]:
        planned = self._plan_micro_batches()
        while True:
            micro_batches, afters = zip(*islice(planned, DRAWN_TOGETHER), strict=True)
            for task in map(_Task, self._samples.draw(micro_batches), afters):
                self.under_way.append(task)
                yield task

    def _plan_micro_batches(self) -> Iterator[tuple[MicroBatch, SamplerState]]:
        for update in self._updates:
            for micro_batch in rank_share(update.micro_batches, self._rank, self._world):
                yield micro_batch, update.after
