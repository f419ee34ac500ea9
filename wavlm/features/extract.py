"""A function of frames over many waveforms: decoded ahead, in batches of like length, in order.

A core is fastest with one utterance at a time, whose data stay in its cache. A GPU wants seconds of
audio by the hundred: of a window of utterances the longest go first, together, so that little is
padding; nothing waits for its results until the next window has been handed over.

Legend: B utterances, N samples, F frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavlm.features.frames import Floats, FrameFunction
from wavlm.features.hidden import cut_pieces, default_device, single_precision
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.shapes import num_labels

T = TypeVar("T")
R = TypeVar("R")
Array = npt.NDArray[Any]

# Of one forward on a GPU, padding included. 10,000 frames keep its matrix units busy; the widest
# tensor, the first convolution's output, is 6.5 MB a second in fp32: 1.3 GB, a few times over.
GPU_BATCH_SAMPLES = 200 * SAMPLE_RATE_HZ
# Utterances that are sorted by length together: 230 MB. The more, the less padding.
GPU_CHUNK_SAMPLES = 3600 * SAMPLE_RATE_HZ
# Each loads the model once; by their number progress can be seen, and GPUs end together.
GROUPS_PER_GPU = 16
ITEMS_PER_THREAD = 4
# Windows whose results a GPU still owes when the next is read: one may be the end of a shard.
CHUNKS_AHEAD = 2


@dataclass(frozen=True)
class ExtractionPlan:
    """How to go through many waveforms on a machine; results differ by rounding alone."""

    device: str
    processes: int  # that share the work
    threads: int  # that decode ahead of each process; 0: it decodes what it needs, when it does
    batch_samples: int  # of one call of the function, padding included; 0: one utterance a call
    chunk_samples: int  # of utterances among which batches are chosen
    groups_per_process: int  # into which a process' shards are cut: what it does in one go; 0: each is one


def extraction_plan(workers: int, gpus: int = 1) -> ExtractionPlan:
    """A process for each GPU, of at most `gpus`, with `workers` threads; without any GPU, workers.

    gpus = 0 takes one GPU if there is one, like every stage before training.
    """
    if default_device() == "cpu":
        return ExtractionPlan("cpu", workers, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
    return ExtractionPlan(
        "cuda",
        processes=max(1, min(gpus, torch.cuda.device_count())),
        threads=max(1, workers),
        batch_samples=GPU_BATCH_SAMPLES,
        chunk_samples=GPU_CHUNK_SAMPLES,
        groups_per_process=GROUPS_PER_GPU,
    )


def release_gpu_memory(plan: ExtractionPlan) -> None:
    """Give back the memory of a GPU that nothing uses: the next stage is another process."""
    if plan.device != "cpu":
        torch.cuda.empty_cache()


class OrderedMap(Protocol):
    """`map`, in order; perhaps some items ahead of its reader, in other threads."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T], depth: int = 0) -> Iterator[R]: ...


@contextmanager
def open_ordered_map(plan: ExtractionPlan) -> Iterator[OrderedMap]:
    """A `map` for what lets go of the interpreter: decoding and hashing.

    It goes `depth` items ahead, 0: as many as keep the threads busy.
    """
    if plan.threads == 0:
        yield lambda function, items, depth=0: map(function, items)  # noqa: ARG005
        return
    with ThreadPoolExecutor(plan.threads) as pool:
        yield lambda function, items, depth=0: _map_ahead(
            pool, function, items, depth or ITEMS_PER_THREAD * plan.threads
        )


def _map_ahead(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], depth: int) -> Iterator[R]:
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def chunks(items: Iterable[T], samples: Callable[[T], int], plan: ExtractionPlan) -> Iterator[list[T]]:
    """Consecutive items of a window's samples, or one more than that; without a window, single."""
    chunk: list[T] = []
    held = 0
    for item in items:
        chunk.append(item)
        held += samples(item)
        if held >= plan.chunk_samples:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def extract_batched(
    tagged: Iterable[tuple[T, Sequence[Floats]]], function: FrameFunction, plan: ExtractionPlan
) -> Iterator[tuple[T, list[Array]]]:
    """For each window of waveforms its tag and the rows of each waveform, (F, ...)."""
    ahead = 0 if plan.device == "cpu" else CHUNKS_AHEAD
    submitted: deque[tuple[T, _SubmittedChunk]] = deque()
    for tag, waveforms in tagged:
        submitted.append((tag, _SubmittedChunk(waveforms, function, plan)))
        if len(submitted) > ahead:
            done, results = submitted.popleft()
            yield done, results.rows()
    for done, results in submitted:
        yield done, results.rows()


class _SubmittedChunk:
    """A window whose batches have been handed to the device."""

    def __init__(self, waveforms: Sequence[Floats], function: FrameFunction, plan: ExtractionPlan) -> None:
        self._function = function
        cut = [self._cut(waveform) for waveform in waveforms]
        self._num_pieces = [len(pieces) for pieces in cut]
        flat = [piece for pieces in cut for piece in pieces]
        self._batches = [
            (numbers, self._compute([flat[number] for number in numbers], plan.device))
            for numbers in group_by_length([len(piece) for piece in flat], plan.batch_samples)
        ]

    def rows(self) -> list[Array]:
        """The rows of each waveform of the window; waits for the device."""
        found: dict[int, Array] = {}
        for numbers, batch in self._batches:
            found.update(zip(numbers, batch.wait(), strict=True))
        in_order = (found[number] for number in range(len(found)))
        return [np.concatenate(list(islice(in_order, count))) for count in self._num_pieces]

    def _cut(self, waveform: Floats) -> list[Floats]:
        piece_samples = self._function.piece_samples
        return [waveform] if piece_samples is None else cut_pieces(waveform, piece_samples)

    def _compute(self, pieces: Sequence[Floats], device: str) -> _PendingRows:
        """One call of the function: pieces in the order of their length, the longest first."""
        rate_hz = self._function.rate_hz
        lengths = [len(piece) for piece in pieces]
        num_samples = None if lengths[-1] == lengths[0] else torch.tensor(lengths)
        with torch.inference_mode(), single_precision():
            rows = self._function.compute(_pad(pieces, device), num_samples)
        expected = int(num_labels(lengths[0], rate_hz))
        if rows.shape[1] != expected:
            raise RuntimeError(f"{rows.shape[1]} frames of {lengths[0]} samples, expected {expected} at {rate_hz} Hz")
        return _PendingRows(rows, num_labels(lengths, rate_hz).tolist())


class _PendingRows:
    """Rows of a batch that are being copied from the device, whose work goes on meanwhile."""

    def __init__(self, rows: Tensor, num_rows: Sequence[int]) -> None:
        self._num_rows = num_rows
        self._copied: torch.cuda.Event | None = None
        self._rows = rows
        if rows.is_cuda:
            self._rows = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
            self._rows.copy_(rows, non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    def wait(self) -> list[Array]:
        """The rows of each utterance of the batch, without those of its padding."""
        if self._copied is not None:
            self._copied.synchronize()
        return [
            row[:count].numpy().copy()  # the padding, and pinned memory, go back at once
            for row, count in zip(self._rows, self._num_rows, strict=True)
        ]


def group_by_length(lengths: Sequence[int], batch_samples: int) -> list[list[int]]:
    """Numbers of waveforms, the longest first, cut into batches of at most that many samples.

    Padding counts. A waveform that is longer than a batch is one of its own.
    """
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    batches = []
    while order:
        num_rows = max(1, batch_samples // max(1, lengths[order[0]]))
        batches.append(order[:num_rows])
        order = order[num_rows:]
    return batches


def _pad(pieces: Sequence[Floats], device: str) -> Tensor:
    """(B, N) on the device; what is shorter than the first is followed by zeros."""
    if len(pieces) == 1:
        batch = torch.from_numpy(np.ascontiguousarray(pieces[0]))[None]
        return batch.to(device)
    on_host = torch.zeros(len(pieces), len(pieces[0]), pin_memory=device != "cpu")
    for row, piece in zip(on_host.numpy(), pieces, strict=True):
        row[: len(piece)] = piece
    return on_host.to(device, non_blocking=True)
