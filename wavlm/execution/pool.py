"""Run parts on local worker processes: the backend of `wavlm.execution.parts` for one machine."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.sharedctypes import Synchronized
from typing import TypeVar

from wavlm.errors import WorkerDiedError
from wavlm.execution.processes import die_with_parent
from wavlm.execution.progress import Progress

P = TypeVar("P")
R = TypeVar("R")
Prepare = Callable[[int], None]


def run_in_pool(
    parts: Sequence[P],
    work: Callable[[P], R],
    workers: int,
    progress: Progress,
    prepare: Prepare | None = None,
) -> list[R]:
    """Results of `work` for each part, in order; the contract is `wavlm.execution.parts.RunParts`.

    One worker or none means this process, and `prepare` is not called. More workers are fresh processes
    (spawn), one pool of them per call.
    """
    progress(0, len(parts))
    if workers <= 1 or len(parts) <= 1:
        return _run_in_process(parts, work, progress)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers := min(workers, len(parts)),
        mp_context=context,
        initializer=_start,
        initargs=(os.getpid(), context.Value("i", 0), prepare),
    ) as pool:
        return _run_pool(pool, parts, work, workers, progress)


def _run_in_process(parts: Sequence[P], work: Callable[[P], R], progress: Progress) -> list[R]:
    results: list[R] = []
    for done, part in enumerate(parts, 1):
        try:
            results.append(work(part))
        except Exception as error:
            error.add_note(_note(part))
            raise
        progress(done, len(parts))
    return results


def _run_pool(
    pool: ProcessPoolExecutor,
    parts: Sequence[P],
    work: Callable[[P], R],
    workers: int,
    progress: Progress,
) -> list[R]:
    """Submit at most `workers` parts at a time, so that after an error no other part starts."""
    results: dict[int, R] = {}
    running: dict[Future[R], int] = {}
    not_started = iter(range(len(parts)))
    while len(results) < len(parts):
        for number in not_started:
            running[pool.submit(work, parts[number])] = number
            if len(running) == workers:
                break
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in sorted(ended, key=running.__getitem__):
            results[running[future]] = _result(future, running, parts)
        for future in ended:
            del running[future]
        progress(len(results), len(parts))
    return [results[number] for number in range(len(parts))]


def _start(parent: int, num_started: Synchronized[int], prepare: Prepare | None) -> None:
    """Initialize a worker: tie it to its parent, give it a number, call `prepare`."""
    die_with_parent(parent)
    if prepare is None:
        return
    with num_started.get_lock():
        number = num_started.value
        num_started.value += 1
    prepare(number)


def _result(future: Future[R], running: dict[Future[R], int], parts: Sequence[P]) -> R:
    try:
        return future.result()
    except BrokenProcessPool as error:
        suspects = ", ".join(_shorten(parts[number]) for number in sorted(running.values()))
        raise WorkerDiedError(
            "WORKER_DIED",
            "a worker process was killed, ran out of memory or crashed in a decoder; "
            f"it ran one of these parts: {suspects}; run again with 1 worker to see which",
        ) from error
    except Exception as error:
        error.add_note(_note(parts[running[future]]))
        raise


def _note(part: object) -> str:
    return f"while making part {_shorten(part)}"


def _shorten(part: object) -> str:
    text = str(part)
    return text if len(text) <= 200 else f"{text[:200]}..."
