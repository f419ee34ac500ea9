"""File locks: one writer at a time, and a note beside the lock that names its holder."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from wavlm.errors import LockedError


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
        note.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}))
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def describe_owner(note: Path) -> str:
    """The process that wrote this owner note, as text for an error message."""
    try:
        found = json.loads(note.read_text())
        return f"process {found['pid']} on {found['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that left no note"
