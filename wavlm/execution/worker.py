"""A process that does one whole stage after another, so that several stages can run side by side on one machine.

A stage that trains in its own process would share the random numbers of PyTorch and the interpreter with the stages
beside it. In a worker it gives the same bits as alone.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from multiprocessing.sharedctypes import Synchronized
from typing import TypeVar

from wavlm.errors import WorkerDiedError
from wavlm.execution.attempts import Outcome, attempt_for_another
from wavlm.execution.outcomes import shorten
from wavlm.execution.processes import die_with_parent
from wavlm.execution.progress import Progress

J = TypeVar("J")
R = TypeVar("R")

LOOK_SECONDS = 0.5  # between two looks at how far the work is

# The worker of the stage that runs in this context; None: it runs in this process.
worker_of_stage: ContextVar[Worker | None] = ContextVar("wavlm_worker", default=None)


class Worker:
    """A process for stages, one at a time. It starts at once, and ends with the thread that made it."""

    def __init__(self, number: int) -> None:
        """`number` counts from 0 and differs among the workers of a run, so that each takes its own GPU."""
        context = multiprocessing.get_context("spawn")
        self.number = number
        self.is_alive = True
        self._done = context.Value("d", 0.0)
        setup = (os.getpid(), self._done)
        self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_start, initargs=setup)
        # The process is started here, in the thread that lasts: the kernel ends it with the thread that started it.
        self._pool.submit(os.getpid)

    def do(self, work: Callable[[J, Progress], R], job: J, progress: Progress) -> R:
        """The result of `work(job, progress)`, with all that passes between processes pickled.

        Raises what the work raised; WorkerDiedError (WORKER_DIED) if the process ended. A stop ends the process.
        """
        self._done.value = 0.0
        try:
            future = self._pool.submit(_attempt, work, job)
            outcome = self._wait(future, progress)
        except BrokenProcessPool as error:
            self.end()
            raise WorkerDiedError(
                "WORKER_DIED",
                "a process that did one stage was killed, ran out of memory or crashed; "
                f"at {shorten(job)}; look at the memory of the machine, or run fewer stages side by side",
            ) from error
        except BaseException:
            self.end()
            raise
        if outcome.error is not None:
            raise outcome.error
        result: R = outcome.result  # type: ignore[assignment]  # without an error there is one
        return result

    def _wait(self, future: Future[Outcome[R]], progress: Progress) -> Outcome[R]:
        while not wait([future], timeout=LOOK_SECONDS).done:
            progress(self._done.value, 1.0)
        return future.result()

    def end(self) -> None:
        """End the process, whatever it does."""
        self.is_alive = False
        for process in list((self._pool._processes or {}).values()):  # noqa: SLF001 - public from Python 3.14 on
            process.kill()
        self._pool.shutdown(wait=False, cancel_futures=True)


class Workers:
    """The workers of one run. What a stage gives back is there for the next one: a process takes seconds to start."""

    def __init__(self) -> None:
        self._free: list[Worker] = []
        self._lent: list[Worker] = []

    def take(self) -> Worker:
        """A worker that does nothing now; it has to be taken by the thread that lasts as long as the run."""
        taken = {item.number for item in (*self._free, *self._lent)}
        number = next(it for it in range(len(taken) + 1) if it not in taken)
        worker = self._free.pop(0) if self._free else Worker(number)
        self._lent.append(worker)
        return worker

    def give_back(self, worker: Worker) -> None:
        """Keep a worker whose stage has ended, unless its process has, too."""
        self._lent.remove(worker)
        if worker.is_alive:
            self._free.append(worker)

    def end(self) -> None:
        """End all of them."""
        for worker in (*self._free, *self._lent):
            worker.end()


_share_done: list[Synchronized[float]] = []  # of this process, if it is a worker


def _start(parent: int, done: Synchronized[float]) -> None:
    die_with_parent(parent)
    _share_done.append(done)


def _attempt(work: Callable[[J, Progress], R], job: J) -> Outcome[R]:
    def progress(done: float, total: float) -> None:
        _share_done[0].value = done / max(total, 1e-9)

    return attempt_for_another(lambda one: work(one, progress), job)
