"""`map` that works some items ahead in threads, with the results in the order of the items.

For functions that release the interpreter lock, such as decoding and hashing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

ITEMS_PER_THREAD = 4


class OrderedMap(Protocol):
    """`map(function, items)` that has up to `depth` items under way; 0: as many as keep the threads busy."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T], depth: int = 0) -> Iterator[R]: ...


@contextmanager
def open_ordered_map(threads: int) -> Iterator[OrderedMap]:
    """An ordered map on this many threads; 0: each item is computed when it is asked for, in the caller's thread.

    Several maps may be open at once, also one on the results of another. They share the threads.
    """
    if threads == 0:
        yield lambda function, items, depth=0: map(function, items)  # noqa: ARG005
        return
    with ThreadPoolExecutor(threads) as pool:
        yield lambda function, items, depth=0: _map_ahead(pool, function, items, depth or ITEMS_PER_THREAD * threads)


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
