"""Many transfers at once: the first failure ends them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from wavlm.execution.progress import Progress

THREADS = 8
T = TypeVar("T")


def transfer_all(work: Callable[[T], int], items: Iterable[T], total_bytes: int, progress: Progress) -> int:
    """Do the work for each; returns the sum of what it returns. `progress` gets bytes.

    Raises the first error, after what is under way has ended. What has been transferred stays.
    """
    done = 0
    progress(0, total_bytes)
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in as_completed(futures):
                done += future.result()
                progress(done, total_bytes)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return done
