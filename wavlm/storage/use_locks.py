"""Locks of what is in use: any number of readers, or one process that moves the thing away.

They are the kernel's locks (flock): it frees them when their holder dies, even by SIGKILL.
"""

from __future__ import annotations

import fcntl
import glob
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from wavlm.errors import LockedError
from wavlm.storage.holders import describe_owner, is_alive, write_owner

NOTE = ".reader"
RETRY_SECONDS, LOOK_SECONDS = 0.05, 1.0  # many hold such a lock for a moment only


@contextmanager
def hold_in_use(paths: Iterable[Path]) -> Iterator[None]:
    """Hold locks as one of many readers while the block runs.

    Raises LockedError if what one of them stands for is just being moved away.
    """
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(_lock(path, fcntl.LOCK_SH, path.stem))
            stack.enter_context(_note_user(path))
        yield


@contextmanager
def hold_unused(path: Path, what: str) -> Iterator[None]:
    """Hold a lock alone while the block runs. Raises LockedError, which names a reader, if one stays."""
    with _lock(path, fcntl.LOCK_EX, what), _note_user(path):
        yield


def refuse_held(lock: Path, what: str) -> None:
    """Raise LockedError if another process holds this lock of `hold_lock`. Writes nothing."""
    try:
        handle = os.open(lock, os.O_RDONLY)
    except OSError:  # nobody has ever held it, or it is not ours to look at
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = describe_owner(lock.with_name(f"{lock.name}.owner"))
        raise LockedError("LOCKED", f"{what} is being made by {owner}; at {lock}; wait for it or stop it") from error
    finally:
        os.close(handle)


@contextmanager
def _lock(path: Path, mode: int, what: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    access = os.O_RDONLY if mode == fcntl.LOCK_SH else os.O_RDWR  # a reader need not own the file
    try:
        handle = os.open(path, access | os.O_CREAT, 0o666)
    except PermissionError:  # somebody else made it: the kernel locks what can be read
        handle = os.open(path, os.O_RDONLY)
    try:
        _acquire(handle, mode, path, what)
        yield
    finally:
        os.close(handle)  # which frees the lock; the file stays, for others may be about to lock it


def _acquire(handle: int, mode: int, path: Path, what: str) -> None:
    """Take a lock; raises LockedError if another process holds it for more than a second."""
    end = time.monotonic() + LOOK_SECONDS
    while True:
        try:
            fcntl.flock(handle, mode | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= end:
                raise LockedError(
                    "LOCKED", f"{what} is in use by {_describe_users(path)}; at {path}; wait for it or stop it"
                ) from error
            time.sleep(RETRY_SECONDS)
        else:
            return


@contextmanager
def _note_user(path: Path) -> Iterator[None]:
    note = path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}{NOTE}")
    write_owner(note)
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def _describe_users(path: Path) -> str:
    """The readers that are alive, or who moves it away; a killed one leaves its note, and not its lock."""
    notes = [note for note in sorted(path.parent.glob(f"{glob.escape(path.name)}.*{NOTE}")) if is_alive(note)]
    return "; ".join(map(describe_owner, notes)) or "a process that left no note"
