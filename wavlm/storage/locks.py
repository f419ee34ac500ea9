"""File locks: one writer at a time, and a note beside the lock that names its holder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout, lock_descriptor

from wavlm.errors import LockedError
from wavlm.storage.holders import describe_owner, write_owner

RETRY_SECONDS = 0.5
LOOK_SECONDS = 1.0  # a look whether a lock is held (`refuse_held`) takes it for a moment
OnWait = Callable[[str, float], None]  # the holder, and the seconds waited so far


@contextmanager
def hold_lock(path: Path, what: str) -> Iterator[None]:
    """Hold `path` as a lock while the block runs. `what` names in errors what is locked.

    Raises LockedError, naming the holder's process id and host, if another process holds the lock for more than a
    second. The kernel frees the lock when its holder dies, even by SIGKILL.
    """
    with wait_for_lock(path, what, LOOK_SECONDS, lambda *_: None):
        yield


@contextmanager
def wait_for_lock(path: Path, what: str, seconds: float, on_wait: OnWait) -> Iterator[None]:
    """Like `hold_lock`, but wait up to `seconds` for a lock that another process holds.

    `on_wait` gets the holder, as text, and the seconds waited so far: at once (0), and then each time that the lock
    is tried again. What it raises ends the waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock_of(path)
    note = path.with_name(f"{path.name}.owner")
    _acquire(lock, note, what, seconds, on_wait)
    try:
        write_owner(note)
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


class _ReadableLock:
    """A lock whose file somebody else made, and which this user may only read: the kernel locks it all the same."""

    def __init__(self, path: Path) -> None:
        self.lock_file = str(path)
        self._handle: int | None = None  # open while the lock is held, and no longer

    def acquire(self, timeout: float) -> None:
        handle, is_held = os.open(self.lock_file, os.O_RDONLY), False
        try:
            is_held = lock_descriptor(handle, blocking=timeout != 0)
        finally:
            if not is_held:
                os.close(handle)
        if not is_held:
            raise Timeout(self.lock_file)
        self._handle = handle

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)  # which frees the lock
            self._handle = None


def _lock_of(path: Path) -> BaseFileLock | _ReadableLock:
    is_foreign = path.exists() and not os.access(path, os.W_OK) and os.access(path, os.R_OK)
    return _ReadableLock(path) if is_foreign else FileLock(path)


def _acquire(lock: BaseFileLock | _ReadableLock, note: Path, what: str, seconds: float, on_wait: OnWait) -> None:
    """Take the lock, or raise LockedError after `seconds`."""
    began, waited = time.monotonic(), 0.0
    while True:
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            if waited >= seconds:
                after = f", also after {waited:.0f} s" if seconds != LOOK_SECONDS else ""
                raise LockedError(
                    "LOCKED",
                    f"{what} is being made by {describe_owner(note)}{after}; at {lock.lock_file}; "
                    "wait for it or stop it",
                ) from error
            on_wait(describe_owner(note), waited)
            time.sleep(min(RETRY_SECONDS, seconds - waited))
            waited = time.monotonic() - began
        else:
            return
