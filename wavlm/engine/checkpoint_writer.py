"""Checkpoints written in the background: the training waits for a copy of the tensors, not for the disk.

The tensors are copied at once, so later updates do not change what is written. A thread writes, hashes and
removes old checkpoints. An error there is raised in the training, on every rank: at the next update, the next
checkpoint or `finish`, whichever comes first.

Cost: one copy of all tensors in rank 0's host memory, 12 bytes per parameter. The memory is kept for the next
checkpoint, and is pinned if the network is on a GPU.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from wavlm.engine import checkpoint
from wavlm.engine.checkpoint import CheckpointState, Tensors, TrainingTensors
from wavlm.engine.interrupts import Watchdog
from wavlm.engine.ranks import Ranks
from wavlm.engine.sharding import gather_whole
from wavlm.execution.stop import StopRequest

log = logging.getLogger(__name__)

BLOCK_BYTES = 64 << 20  # torch rounds pinned memory up to a power of two
ALIGNMENT_BYTES = 64
WARN_WAIT_SECONDS = 1.0


class CheckpointWriter:
    """Writes one checkpoint at a time. Use as a context: leaving it waits for the write under way."""

    def __init__(self, folder: Path, keep: int, ranks: Ranks, interrupts: tuple[StopRequest, Watchdog]) -> None:
        self._write = partial(checkpoint.write, folder, keep=keep)
        self._ranks, (self._stop, self._watchdog) = ranks, interrupts
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._under_way: Future[Path] | None = None
        self._copy: dict[str, dict[str, Tensor]] = {}

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Wait for the thread. Its error is raised, or only logged if the training itself failed."""
        with self._watchdog.patient():
            self._thread.shutdown()
        failure = self._under_way.exception() if self._under_way else None
        if failure and error:
            log.error("a checkpoint could not be written either: %s", failure, exc_info=failure)
        elif failure:
            raise failure

    def save(self, training: TrainingTensors, state: CheckpointState) -> None:
        """Copy the tensors and start to write them; every rank calls it after the same update.

        Waits for the checkpoint under way, if there is one. Its error is raised on all ranks.
        """
        began = time.monotonic()
        self.finish()
        if self._ranks.leads and (waited_s := time.monotonic() - began) > WARN_WAIT_SECONDS:
            log.warning(
                "the checkpoint of update %d waited %.1f s for the one before to be written: the disk "
                "is too slow for so many checkpoints (see runtime.snapshot_every)",
                state.update,
                waited_s,
            )
        ready = self._copy_tensors(checkpoint.tensors_of(training))
        if self._ranks.leads:
            self._under_way = self._thread.submit(self._write_when_ready, state, ready)
            self._under_way.add_done_callback(self._stop_if_failed)

    def finish(self) -> None:
        """Wait until everything saved so far is on the disk; its error is raised on all ranks."""
        with self._watchdog.patient():
            self._ranks.once(self._wait_for_write)

    def _wait_for_write(self) -> None:
        done, self._under_way = self._under_way, None
        if done:
            done.result()

    def _stop_if_failed(self, done: Future[Path]) -> None:
        """Request a stop, so that all ranks call `finish` before their next update, which raises the error."""
        if done.exception():
            self._stop.requested = True

    def _write_when_ready(self, state: CheckpointState, ready: torch.cuda.Event | None) -> Path:
        if ready:
            ready.synchronize()
        return self._write(files=self._copy, state=state)

    def _copy_tensors(self, files: Mapping[str, Tensors]) -> torch.cuda.Event | None:
        """Fill the copy on rank 0. Returns an event that is reached when the copy is complete; None: it is already.

        On a GPU the copies are queued in the computing stream, so the next update waits for them.
        Tensors that are split over ranks are gathered one by one, so that no GPU ever holds all of them.
        """
        on_gpu = self._ranks.device.type == "cuda"
        if self._ranks.leads:
            self._copy = _reuse_or_allocate(self._copy, files, pinned=on_gpu)
        with torch.no_grad():
            for file, tensors in files.items():
                for name, tensor in tensors.items():
                    source = gather_whole(tensor)
                    if self._ranks.leads:
                        self._copy[file][name].copy_(source, non_blocking=on_gpu)
        if not (on_gpu and self._ranks.leads):
            return None
        ready = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        ready.record()
        return ready


def _reuse_or_allocate(
    before: dict[str, dict[str, Tensor]], files: Mapping[str, Tensors], *, pinned: bool
) -> dict[str, dict[str, Tensor]]:
    """Host memory for these tensors: the memory of the copy before, if it holds the same names.

    It may not: AdamW has no moments before its first step, so the first checkpoint may be smaller.
    """
    if all(before.get(file, {}).keys() == tensors.keys() for file, tensors in files.items()):
        return before
    return {
        file: dict(zip(tensors, _allocate_blocks(list(tensors.values()), pinned=pinned), strict=True))
        for file, tensors in files.items()
    }


def _allocate_blocks(like: list[Tensor], *, pinned: bool) -> list[Tensor]:
    """Uninitialised tensors of these shapes and types on the CPU, cut from blocks of memory."""
    allocated: list[Tensor] = []
    block = torch.empty(0, dtype=torch.uint8)
    for tensor in like:
        num_bytes = tensor.numel() * tensor.element_size()
        if num_bytes > len(block):
            size = max(BLOCK_BYTES, num_bytes)
            block = torch.empty(size, dtype=torch.uint8, pin_memory=pinned)
        allocated.append(block[:num_bytes].view(tensor.dtype).view(tensor.shape))
        block = block[-(-num_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES :]
    return allocated
