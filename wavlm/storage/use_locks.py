"""Locks of what is in use: any number of readers, or one process that moves the thing away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from wavlm.errors import LockedError
from wavlm.storage.leases import Lease
from wavlm.storage.locks import Attempt, Refusal, acquire, find_refusal, find_sharers, try_alone, try_shared

RETRY_SECONDS, LOOK_SECONDS = 0.05, 1.0  # many hold such a lock for a moment only


@contextmanager
def hold_in_use(paths: Iterable[Path]) -> Iterator[None]:
    """Hold locks as one of many readers while the block runs.

    Raises LockedError if what one of them stands for is just being moved away.
    """
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(_hold(path, lambda path=path: try_shared(path), path.stem))  # type: ignore[misc]
        yield


@contextmanager
def hold_unused(path: Path, what: str) -> Iterator[None]:
    """Hold a lock alone while the block runs. Raises LockedError, which names the readers, if one stays."""
    with _hold(path, lambda: try_alone(path), what):
        yield


def refuse_held(lock: Path, what: str) -> None:
    """Raise LockedError if another process holds this lock of `hold_lock`, alone or shared."""
    found = None
    with suppress(PermissionError):  # the file of one that has ended is not ours to remove
        found = find_refusal(lock)
    if found:
        raise LockedError("LOCKED", f"{what} is being made by {found.holder.text}; at {lock}; wait for it or stop it")


@contextmanager
def _hold(path: Path, attempt: Attempt, what: str) -> Iterator[Lease]:
    def explain(refusal: Refusal, _waited: float) -> LockedError:
        users = "; ".join(holder.text for holder in find_sharers(path)) or refusal.holder.text
        return LockedError("LOCKED", f"{what} is in use by {users}; at {path}; wait for it or stop it")

    path.parent.mkdir(parents=True, exist_ok=True)
    lease = acquire(attempt, LOOK_SECONDS, explain, retry_seconds=RETRY_SECONDS)
    try:
        yield lease
    finally:
        lease.release()
