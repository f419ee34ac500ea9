"""Worker processes of the loader: they make the arrays of micro-batches in parallel, and these come back in order."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from wavlm.errors import CodedError
from wavlm.errors.boundary import code_errors
from wavlm.execution.processes import die_with_parent
from wavlm.loader.samples import DrawnMicroBatch, MicroBatchArrays, TrainingSamples

WORKER_TIMEOUT_SECONDS = 300.0
PREFETCH_BATCHES = 4  # per worker
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def make_in_order(
    samples: TrainingSamples, drawn: Iterator[DrawnMicroBatch], workers: int
) -> Iterator[MicroBatchArrays]:
    """`samples.make` of each of `drawn`, in that order; by so many worker processes, or by this one if it is 0.

    The workers start with this call and end with this process. Raises BadDataError, with shard and key, at the
    micro-batch that cannot be read, and ReadLostError.
    """
    if not workers:
        return map(samples.make, drawn)
    made = DataLoader(
        _MicroBatches(samples),
        sampler=drawn,
        batch_size=None,
        collate_fn=_keep_arrays,
        generator=torch.Generator(),  # torch draws a seed for workers: not from the global generator
        num_workers=workers,
        prefetch_factor=PREFETCH_BATCHES,
        timeout=WORKER_TIMEOUT_SECONDS,
        # Forked workers share the memory of the index and the labels; spawned workers would each get a copy.
        multiprocessing_context="fork",
        worker_init_fn=partial(_start_worker, os.getpid()),
    )
    return map(_raise_failure, iter(made))


@dataclass(frozen=True)
class _Failure:
    """An error as a worker returns it. torch would raise it again without its code."""

    error: CodedError


class _MicroBatches(Dataset[Any]):
    """Makes arrays in a worker. Map-style, because then torch keeps the order for any number of workers."""

    def __init__(self, samples: TrainingSamples) -> None:
        self._samples = samples

    def __getitem__(self, drawn: DrawnMicroBatch) -> MicroBatchArrays | _Failure:
        try:
            with code_errors():
                return self._samples.make(drawn)
        except CodedError as error:
            return _Failure(error)


def _raise_failure(made: MicroBatchArrays | _Failure) -> MicroBatchArrays:
    if isinstance(made, _Failure):
        raise made.error
    return made


def _keep_arrays(arrays: Any) -> Any:
    """Keep numpy arrays: torch would make tensors in shared memory, which containers limit."""
    return arrays


def _start_worker(parent: int, worker: int) -> None:  # noqa: ARG001 - torch passes the number
    """Set up a worker that ends only when the trainer signals it, or when the trainer ends.

    A stop request often goes to all processes at once, but the trainer still needs the batches of the current
    update. So stop signals from other processes are dropped. They cannot be ignored: at its exit, Python sends
    SIGTERM to workers and waits for them without limit.
    """
    die_with_parent(parent)
    if sys.platform.startswith("linux"):  # sigwaitinfo
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        threading.Thread(target=_await_stop, args=(parent,), daemon=True).start()


def _await_stop(parent: int) -> None:
    """End this process at the first stop signal that the trainer sent."""
    while signal.sigwaitinfo(STOP_SIGNALS).si_pid != parent:
        pass
    os._exit(0)
