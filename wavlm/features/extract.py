"""Batched extraction: compute a function of frames, such as MFCC or a hidden layer, for many waveforms.

1. The caller cuts its waveforms into chunks (`cut_chunks`) and gives each chunk a tag.
2. A chunk is sorted by length and cut into batches, so that little of a batch is padding (`wavlm.features.chunk`).
3. All batches of a chunk are submitted to the device at once.
4. On a GPU, results are waited for only after two more chunks have been submitted, so that it has work meanwhile.
5. Results come back in the order of the chunks, and in a chunk in the order of its waveforms.

On a CPU each waveform is a chunk and a batch of its own: a core is fastest on one utterance, whose data stay in its
cache. A GPU needs hundreds of seconds of audio at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from wavlm.features.chunk import Rows, SubmittedChunk
from wavlm.features.frame_function import FrameFunction
from wavlm.features.hidden import default_device
from wavlm.features.mfcc import Floats
from wavlm.specs import SAMPLE_RATE_HZ

T = TypeVar("T")

# One forward on a GPU, padding included. 10,000 frames keep its matrix units busy. The widest tensor is the output of
# the first convolution: 6.5 MB per second of audio in fp32, here 1.3 GB, of which a few are alive at once.
GPU_BATCH_SAMPLES = 200 * SAMPLE_RATE_HZ
# Utterances that are sorted by length together: 230 MB. More of them would need less padding.
GPU_CHUNK_SAMPLES = 3600 * SAMPLE_RATE_HZ
# Groups of shards per GPU. Each group loads the model once. Many groups show progress, and let all GPUs end together.
GROUPS_PER_GPU = 16
# Chunks that a GPU computes while the next one is read. Two, because one may be the short end of a shard.
CHUNKS_AHEAD = 2


@dataclass(frozen=True)
class ExtractionPlan:
    """How a machine computes features of many waveforms. Results of different plans differ only by rounding."""

    device: str
    processes: int  # that share the work
    threads: int  # per process, that decode ahead; 0: the process decodes each waveform when it needs it
    batch_samples: int  # at most, of one call of the function, padding included; 0: one utterance per call
    chunk_samples: int  # of utterances that are sorted by length together; 0: one utterance
    groups_per_process: int  # into which the shards of a process are split; 0: all shards are one group


def extraction_plan(workers: int, gpus: int = 1, *, is_elsewhere: bool = False) -> ExtractionPlan:
    """One process per GPU, with `workers` threads each; without a GPU, `workers` processes.

    Uses at most `gpus` GPUs. gpus = 0 means one if there is one, as in every stage before training. `is_elsewhere`: on
    other machines, of which this one knows no more than that: `gpus` of them in all, none with 0.
    """
    if not gpus if is_elsewhere else default_device() == "cpu":
        return ExtractionPlan("cpu", workers, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
    return ExtractionPlan(
        "cuda",
        processes=gpus if is_elsewhere else max(1, min(gpus, torch.cuda.device_count())),
        threads=max(1, workers),
        batch_samples=GPU_BATCH_SAMPLES,
        chunk_samples=GPU_CHUNK_SAMPLES,
        groups_per_process=GROUPS_PER_GPU,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute on one core in this block.

    One utterance has too little work for more: on two cores MFCC took 3.5 times the CPU time, and three times as long,
    because threads wait for each other actively. It also makes results independent of the number of cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def release_gpu_memory(plan: ExtractionPlan) -> None:
    """Free the GPU memory that PyTorch keeps for reuse: the next stage runs in another process."""
    if plan.device != "cpu":
        torch.cuda.empty_cache()


def cut_chunks(items: Iterable[T], num_samples: Callable[[T], int], plan: ExtractionPlan) -> Iterator[list[T]]:
    """Consecutive items, cut after the one that reaches `chunk_samples`. With chunk_samples = 0 each is one chunk."""
    chunk: list[T] = []
    chunk_samples = 0
    for item in items:
        chunk.append(item)
        chunk_samples += num_samples(item)
        if chunk_samples >= plan.chunk_samples:
            yield chunk
            chunk, chunk_samples = [], 0
    if chunk:
        yield chunk


def extract_batched(
    chunks: Iterable[tuple[T, Sequence[Floats]]], function: FrameFunction, plan: ExtractionPlan
) -> Iterator[tuple[T, list[Rows]]]:
    """For each chunk, a tag and waveforms (N,): the tag and the rows of each waveform, (F, ...)."""
    num_ahead = 0 if plan.device == "cpu" else CHUNKS_AHEAD
    submitted: deque[tuple[T, SubmittedChunk]] = deque()
    for tag, waveforms in chunks:
        submitted.append((tag, SubmittedChunk(waveforms, function, plan.device, plan.batch_samples)))
        if len(submitted) > num_ahead:
            oldest_tag, oldest = submitted.popleft()
            yield oldest_tag, oldest.wait()
    for tag, chunk in submitted:
        yield tag, chunk.wait()
