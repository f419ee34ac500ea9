"""File locks: one writer at a time, and a note beside the lock that names its holder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from wavlm.errors import LockedError
from wavlm.storage.holders import describe_owner, write_owner


@contextmanager
def hold_lock(path: Path, what: str) -> Iterator[None]:
    """Hold `path` as a lock while the block runs. `what` names in errors what is locked.

    Raises LockedError, naming the holder's process id and host, if another process holds the lock.
    The kernel frees the lock when its holder dies, even by SIGKILL.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    note = path.with_name(f"{path.name}.owner")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise LockedError(
            "LOCKED", f"{what} is being made by {describe_owner(note)}; at {path}; wait for it or stop it"
        ) from error
    try:
        write_owner(note)
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()
