"""A list of parts, one pure function for each, spread over local processes.

Each part writes its own file under a temporary name and renames it, so a part may be killed at any
time and made again. The results come back in the order of the parts, whatever order they end in.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.sharedctypes import Synchronized
from typing import TypeVar

from wavlm.errors import CodedError
from wavlm.execution.processes import die_with_parent
from wavlm.execution.progress import Progress

P = TypeVar("P")
R = TypeVar("R")
Prepare = Callable[[int], None]


class WorkerDiedError(CodedError):
    """A worker process ended without an exception: killed, out of memory, crashed in a library."""


def run_parts(
    parts: Sequence[P],
    work: Callable[[P], R],
    workers: int,
    progress: Progress,
    prepare: Prepare | None = None,
) -> list[R]:
    """Results of `work` for each part, in order; `progress` counts parts.

    One worker, or none, means this process. More are started afresh (spawn), so `work` must be a
    module-level function or a `functools.partial` of one. The first error ends the run: no further
    part is started, those that run are finished, and the error is raised with a note that names its
    part. `prepare` is called once in each worker that is started, with its number from 0 on: what
    there is one of for each worker, such as a GPU, is taken there.
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
    """Only `workers` parts are under way at a time, so an error stops the run at once."""
    results: dict[int, R] = {}
    running: dict[Future[R], int] = {}
    waiting = iter(range(len(parts)))
    while len(results) < len(parts):
        for number in waiting:
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
    """What each worker does first."""
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
            f"one of these parts was its: {suspects}; run again with 1 worker to see which",
        ) from error
    except Exception as error:
        error.add_note(_note(parts[running[future]]))
        raise


def _note(part: object) -> str:
    return f"while making part {_shorten(part)}"


def _shorten(part: object) -> str:
    text = str(part)
    return text if len(text) <= 200 else f"{text[:200]}..."
