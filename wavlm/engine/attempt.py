"""One attempt of a trainer: its ranks join, and rank 0 holds the folder that it trains into."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from wavlm.engine.ranks import Ranks, join_ranks
from wavlm.errors import StoppedError
from wavlm.execution.job import TRAIN_LOCK
from wavlm.execution.runtime import Runtime
from wavlm.execution.stop import StopRequest
from wavlm.storage.locks import hold_lock

MOST_FILES = 1 << 16


@contextmanager
def begin_attempt(out: Path, runtime: Runtime, stop: StopRequest, what: str) -> Iterator[Ranks]:
    """The ranks, while rank 0 holds the lock of `out`, which is made. what: the text that names it in messages.

    Raises StoppedError if a stop was requested already. If another trainer takes this one for ended, `stop` is set.
    """
    out.mkdir(parents=True, exist_ok=True)
    _raise_limit()
    with join_ranks(runtime) as ranks, ExitStack() as held:
        if ranks.any(stop.requested):
            raise StoppedError(
                "STOPPED", f"stopped on request before the first update; at {out}; run the same command to go on"
            )

        def leave() -> None:
            """Another trainer has taken this one for ended: two must not write into one folder."""
            stop.requested = True

        lock = hold_lock(out / TRAIN_LOCK, what, leave)
        ranks.once(lambda: held.enter_context(lock))  # if it fails, all ranks raise the same error
        yield ranks


def _raise_limit() -> None:
    """Allow as many open files as the system lets a user have: each tar that is read stays open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
