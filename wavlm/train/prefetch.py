"""Prefetch: copy the next batch to the device while the device computes the current one.

Before a batch can be computed, it is read from the loader's processes (milliseconds), copied to pinned memory
and then to the device, where its masks are made. On a CUDA device a thread with a stream of its own does that.
So neither the host, which launches an update and waits for it, nor the device waits for any of it.
The thread also waits for the number of masked frames, which the host needs to size the prediction.

A batch that was prefetched and never used is not lost: a checkpoint stores the sampler state after the last
finished update, and reading goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import cache
from typing import TypeVar

import torch

from wavlm.loader.batch import Batch, PackedBatch

A = TypeVar("A")
B = TypeVar("B")


def prefetch(batches: Iterator[PackedBatch], device: torch.device) -> Generator[Batch]:
    """The same batches, on the device. On a CUDA device the next one is prefetched.

    On other devices a batch is read when it is needed. Closing the iterator waits for the read that
    is under way; then nothing uses `batches` any more.
    """
    if device.type == "cuda":
        return _prefetch_to_gpu(batches, device)
    return (batch.to(device) for batch in batches)


def read_ahead(items: Iterator[A], begin: Callable[[A], B]) -> Generator[B]:
    """The result of `begin` for each item, computed one item ahead in a thread. Its errors are raised here.

    Nothing is read before the first result is needed. It must be a thread, not a call between two items: the host
    spends most of an update waiting for the device inside torch, where no other code of ours can run.
    """

    def step() -> tuple[B, ...]:
        return tuple(begin(item) for item in _take_one(items))

    with ThreadPoolExecutor(1, "read-ahead") as thread:
        coming: Future[tuple[B, ...]] = thread.submit(step)
        while begun := coming.result():
            coming = thread.submit(step)
            yield begun[0]


def _take_one(items: Iterator[A]) -> tuple[A, ...]:
    """The next item, if there is one."""
    for item in items:
        return (item,)
    return ()


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One stream per device for the whole process: torch reuses freed memory only on the stream that allocated it."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _prefetch_to_gpu(batches: Iterator[PackedBatch], device: torch.device) -> Generator[Batch]:
    side = _side_stream(device)

    def begin(batch: PackedBatch) -> Batch:
        # A new thread is on device 0, not on the rank's device. Pinning there would take memory of device 0.
        with torch.cuda.device(device), torch.cuda.stream(side):
            return batch.pin_memory().to(device)

    with closing(read_ahead(batches, begin)) as coming:
        for batch in coming:
            # The side stream has finished with this batch, as `PackedBatch.to` promises. Its memory belongs to that
            # stream and must not be reused before the computing stream has finished with it too.
            computing = torch.cuda.current_stream(device)
            for tensor in (batch.waveforms, batch.labels, batch.mask):
                tensor.record_stream(computing)
            yield batch
