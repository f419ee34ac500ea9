"""Run parts on local worker processes: the backend of `wavlm.execution.parts` for one machine."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.sharedctypes import Synchronized
from typing import TypeVar

from wavlm.errors import WorkerDiedError
from wavlm.execution.attempts import Outcome, attempt, attempt_for_another, to_portable
from wavlm.execution.outcomes import Outcomes, shorten
from wavlm.execution.processes import die_with_parent
from wavlm.execution.progress import Progress

P = TypeVar("P")
R = TypeVar("R")
Prepare = Callable[[int], None]

LOOK_SECONDS = 1.0  # a stop that is raised in this thread comes through so often


def run_in_pool(
    parts: Sequence[P],
    work: Callable[[P], R],
    workers: int,
    progress: Progress,
    prepare: Prepare | None = None,
) -> list[R]:
    """Results of `work` for each part, in order; the contract is `wavlm.execution.parts.RunParts`.

    One worker or none means this process, and `prepare` is not called. More workers are fresh processes (spawn), one
    pool of them per call. If one dies, the parts that ran are done again, each alone in a process, so that the one that
    kills is found; a new pool does the others.
    """
    outcomes: Outcomes[P, R] = Outcomes(parts, progress)
    if workers <= 1 or len(parts) <= 1:
        for number, part in enumerate(parts):
            if not outcomes.is_hopeless():
                outcomes.add(number, attempt(work, part))
        return outcomes.results()
    run = partial(_run_pool, parts=parts, work=work, prepare=prepare, outcomes=outcomes)
    while (left := outcomes.left) and not outcomes.is_hopeless():
        for suspect in run(left, workers=min(workers, len(left))):
            if not outcomes.is_hopeless() and run([suspect], workers=1):
                outcomes.add(suspect, Outcome(None, _died(parts[suspect])))
    return outcomes.results()


def _run_pool(
    numbers: Iterable[int],
    *,
    parts: Sequence[P],
    work: Callable[[P], R],
    workers: int,
    prepare: Prepare | None,
    outcomes: Outcomes[P, R],
) -> list[int]:
    """Do parts in a new pool; the numbers of those that were under way when a worker died, none if none died.

    At most `workers` parts are submitted at a time, so that few are suspected.
    """
    context = multiprocessing.get_context("spawn")
    setup = (os.getpid(), context.Value("i", 0), prepare)
    running: dict[Future[Outcome[R]], int] = {}
    waiting = deque(numbers)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=setup) as pool:
        while waiting or running:
            while waiting and len(running) < workers and not outcomes.is_hopeless():
                number = waiting.popleft()
                try:
                    running[pool.submit(_attempt, work, parts[number])] = number
                except BrokenProcessPool:  # between two looks; this one was not begun
                    return _take_all(running, outcomes)
            if not running:
                return []
            ended, _ = wait(running, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
            died = [running[future] for future in ended if not _take(future, running[future], outcomes)]
            for future in ended:
                del running[future]
            if died:
                return sorted([*died, *_take_all(running, outcomes)])
    return []


def _take(future: Future[Outcome[R]], number: int, outcomes: Outcomes[P, R]) -> bool:
    """Note the outcome of a part; False if its worker died, or that of another part, which breaks the pool."""
    try:
        outcome = future.result()
    except BrokenProcessPool:
        return False
    except Exception as error:  # noqa: BLE001 - a part or a result that cannot be pickled: the part's failure
        outcome = Outcome(None, error)
    outcomes.add(number, outcome)
    return True


def _take_all(running: dict[Future[Outcome[R]], int], outcomes: Outcomes[P, R]) -> list[int]:
    """Take what ended well before the pool broke; the numbers of the others, in order."""
    return sorted(number for future, number in running.items() if not _take(future, number, outcomes))


def _start(parent: int, num_started: Synchronized[int], prepare: Prepare | None) -> None:
    """Initialize a worker: tie it to its parent, give it a number, call `prepare`.

    What `prepare` raises is the failure of each part of this worker: else the pool would be broken, and not say why.
    """
    die_with_parent(parent)
    if prepare is None:
        return
    with num_started.get_lock():
        number = num_started.value
        num_started.value += 1
    try:
        prepare(number)
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller has to know
        _unprepared.append(to_portable(error))


_unprepared: list[Exception] = []  # why this worker can do nothing


def _attempt(work: Callable[[P], R], part: P) -> Outcome[R]:
    """A part, in a worker."""
    return Outcome(None, _unprepared[0]) if _unprepared else attempt_for_another(work, part)


def _died(part: object) -> WorkerDiedError:
    return WorkerDiedError(
        "WORKER_DIED",
        f"a process that did nothing else was killed, ran out of memory or crashed in a decoder; "
        f"at part {shorten(part)}; look at the memory of the machine, or leave out what this part reads",
    )
