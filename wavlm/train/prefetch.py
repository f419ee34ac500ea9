"""Batches on their way to a device while it still computes the one before.

Before a batch can be computed it is read (from the loader's processes, milliseconds), copied to
pinned memory and fetched by the device, where its masks are made. On a CUDA device a thread and a
stream of its own do all that, so that neither the host, which launches and then waits for the step,
nor the device, which computes it, has to wait for any of it. The thread also waits for the number
of masked frames, so that the host knows for how many the prediction needs room.

A batch that was read ahead and never used is no loss: a snapshot stores the position after the
update that was done, and from there it is read again.
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
    """The same batches on the device; on a CUDA device the next one travels meanwhile.

    Elsewhere nothing is read before it is asked for. Closing the iterator waits for the read that
    is under way, so that `batches` is free again.
    """
    if device.type == "cuda":
        return _prefetch_to_gpu(batches, device)
    return (batch.to(device) for batch in batches)


def read_ahead(items: Iterator[A], begin: Callable[[A], B]) -> Generator[B]:
    """`begin` of each item, one of them ahead, in a thread; what it raises is raised here.

    The first item is read when the first is asked for. A thread, and not a call between two items:
    the host spends an update waiting for the device, in one place that is not ours.
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
    """One a device for good: memory that is let go belongs to the stream that asked for it."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _prefetch_to_gpu(batches: Iterator[PackedBatch], device: torch.device) -> Generator[Batch]:
    side = _side_stream(device)

    def begin(batch: PackedBatch) -> Batch:
        # A thread begins on device 0, whichever is the rank's: pinning there would fill its memory.
        with torch.cuda.device(device), torch.cuda.stream(side):
            return batch.pin_memory().to(device)

    with closing(read_ahead(batches, begin)) as coming:
        for batch in coming:
            # All that this batch asked of the side stream is done, as `PackedBatch.to` promises. But the
            # memory is that stream's, and must not be used again before the computing one is done.
            computing = torch.cuda.current_stream(device)
            for tensor in (batch.waveforms, batch.labels, batch.mask):
                tensor.record_stream(computing)
            yield batch
