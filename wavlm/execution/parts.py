"""Run many independent parts of a stage: the contract of every backend, and the backend in use.

`run_parts` is the only way in which stages spread work. Another backend, such as a cluster, is one more
function of the type `RunParts`; it is chosen at the end of this file and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from wavlm.execution.pool import Prepare, run_in_pool
from wavlm.execution.progress import Progress

P = TypeVar("P")
R = TypeVar("R")


class RunParts(Protocol):
    """Apply a function to every part, on any number of workers.

    A stage and a backend rely on this:

    - **Order.** Results have the order of the parts, whatever order they end in.
    - **Parts are pure.** `work(part)` depends on the part and on files of complete artifacts alone. It may
      run twice, in any order, and on any machine that sees the same folders.
    - **Files are atomic.** A part writes its own files, each under a temporary name that it renames
      (`wavlm.storage.files`). So a part may be killed at any time and run again.
    - **Everything can be pickled.** `work` is a module-level function or a `functools.partial` of one.
      Parts, results and errors travel between processes.
    - **Progress.** `progress(done, total)` is called in the caller's process: with 0 first, then with the
      number of parts that have ended.
    - **Errors.** The first error ends the run. No further part is started, and parts that run are finished.
      The error is raised in the caller's process with its type and code, and a note names its part.
      A worker that dies without an exception raises WorkerDiedError.
    - **Workers.** At most `workers` parts run at a time; with 0 or 1 the caller's process may do the work.
      `prepare(number)` runs once in each worker that is started, before its first part. Numbers count from 0
      and differ, so that a worker can take its own GPU.
    """

    def __call__(
        self,
        parts: Sequence[P],
        work: Callable[[P], R],
        workers: int,
        progress: Progress,
        prepare: Prepare | None = None,
    ) -> list[R]: ...


run_parts: RunParts = run_in_pool
