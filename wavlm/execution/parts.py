"""Run many independent parts of a stage: the contract of every executor, and the executor in use.

`run_parts` is the only way in which stages spread work. A stage does not know on what it runs: its caller chooses the
executor (`use_executor`), by `Runtime` and never by a spec. Each executor is one function of the type `RunParts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

from wavlm.execution.pool import Prepare, run_in_pool
from wavlm.execution.progress import Progress

P = TypeVar("P")
R = TypeVar("R")


class RunParts(Protocol):
    """Apply a function to every part, on any number of workers.

    A stage and an executor rely on this:

    - **Order.** Results have the order of the parts, whatever order they end in.
    - **Parts are pure.** `work(part)` depends on the part and on files of complete artifacts alone. It may
      run twice, also at the same time, in any order, and on any machine that sees the same folders.
    - **Files are atomic.** A part writes its own files, each under a temporary name that it renames
      (`wavlm.storage.files`). So a part may be killed at any time and run again.
    - **Everything can be pickled.** `work` is a module-level function or a `functools.partial` of one.
      Parts, results and errors travel between processes. Results are facts, not data: they all come to one process.
    - **Progress.** `progress(done, total)` is called in the caller's process: with 0 first, then with the
      number of parts that have ended.
    - **Storage that fails in passing.** A part that raises an OSError that may pass is tried again, with pauses, for
      about a minute. After that an error of storage is STORAGE_FAILING, with the exit code for "run again".
    - **Errors.** All other parts are finished. Then the error of the first part that failed is raised in the caller's
      process with its type and code; its message says how many failed, and notes name parts. Nothing further is begun
      after a full or read-only disk, or after very many failures.
    - **A worker that dies** fails nothing by itself: the parts that it may have had are done again, one alone per
      worker. A part whose worker dies then, too, has failed with WorkerDiedError.
    - **Workers.** At most `workers` parts run at a time on this machine; with 0 or 1 the caller's process may do the
      work. `prepare(number)` runs once in each worker that is started, before its first part. Numbers count from 0
      and differ on a machine, so that a worker can take its own GPU.
    """

    def __call__(
        self,
        parts: Sequence[P],
        work: Callable[[P], R],
        workers: int,
        progress: Progress,
        prepare: Prepare | None = None,
    ) -> list[R]: ...


_executor: ContextVar[RunParts] = ContextVar("wavlm_executor", default=run_in_pool)


@contextmanager
def use_executor(executor: RunParts) -> Iterator[None]:
    """Let `run_parts` use this executor while the block runs, in this thread."""
    token = _executor.set(executor)
    try:
        yield
    finally:
        _executor.reset(token)


def run_parts(
    parts: Sequence[P],
    work: Callable[[P], R],
    workers: int,
    progress: Progress,
    prepare: Prepare | None = None,
) -> list[R]:
    """Results of `work` for each part, in order, by the executor in use; the contract is `RunParts`."""
    return _executor.get()(parts, work, workers, progress, prepare)
