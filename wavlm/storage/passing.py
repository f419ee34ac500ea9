"""Reads that fail in passing: a disk or a server that does not answer for some seconds, and then does.

A training reads for weeks. One EIO of a switch that was restarted says nothing about the data. So such a read is tried
again for about a minute, each time with a file that is opened anew: after ESTALE the old descriptor never works again.
Then the run ends with 75, "run the same command again", and not with the code for bad data.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from wavlm.errors import NoResourcesError, ReadLostError
from wavlm.errors.boundary import to_coded

log = logging.getLogger(__name__)

T = TypeVar("T")
PASSING = frozenset(
    {
        errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH,
        errno.ENETDOWN, errno.ENETUNREACH, errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED, errno.EREMOTEIO,
    }
)  # fmt: skip
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 8.0  # each pause is twice the one before
PATIENCE_SECONDS = 60.0


def is_passing(error: BaseException) -> bool:
    """Whether this is a failure of a disk or a network, which says nothing about the data."""
    return isinstance(error, OSError) and error.errno in PASSING


def read_patiently(read: Callable[[], T], where: Path) -> T:
    """What `read` returns, a function that opens what it reads. Tried again for a minute while it fails in passing.

    Raises ReadLostError (READ_LOST) after that, and at once what else `read` raises.
    """
    began, pauses = time.monotonic(), _pauses()
    while True:
        try:
            return read()
        except OSError as error:
            if not is_passing(error):
                raise
            waited = time.monotonic() - began
            if waited >= PATIENCE_SECONDS:
                raise _give_up(error, where, waited) from error
            pause = min(next(pauses), PATIENCE_SECONDS - waited)
            log.warning("a read failed, and is tried again in %.1f s: %s; at %s", pause, _name(error), where)
        time.sleep(pause)


def refuse_passing(error: BaseException, where: Path) -> None:
    """Raise what says nothing about the data. For readers that take every other failure for damage.

    ReadLostError if a read failed in passing; NoResourcesError if the machine had no memory or no open file left, also
    if a library met that on its way to another error. "Make it again" would cost days, and end in the same.
    """
    if isinstance(error, ReadLostError):
        raise error
    if isinstance(coded := to_coded(error, where), NoResourcesError):
        raise coded from error
    if is_passing(error):
        assert isinstance(error, OSError)  # noqa: S101 - by `is_passing`
        raise _give_up(error, where, 0.0) from error


def require_there(folder: Path) -> None:
    """Raise OSError (ESTALE) if a folder is not there: then its disk is, and not one file of it."""
    if not folder.is_dir():
        raise OSError(errno.ESTALE, "the folder is not there, as if its disk were not mounted", str(folder))


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _give_up(error: OSError, where: Path, waited: float) -> ReadLostError:
    return ReadLostError(
        "READ_LOST",
        f"a read failed{f', also after {waited:.0f} s' if waited else ''}: {_name(error)}; at {where}; check the disk "
        "or its connection, then run the same command again: it goes on from what is complete",
    )


def _name(error: OSError) -> str:
    number = error.errno or 0
    return f"{errno.errorcode.get(number, number)} ({error.strerror or os.strerror(number)})"


class PatientFile:
    """A file that is read at any place, patiently. It is opened when it is needed; processes may share it."""

    # Kept here, because the module's own names may be gone when the last file is deleted at the end of Python.
    _close = staticmethod(os.close)

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def read(self, size: int, offset: int) -> bytes:
        """`size` bytes from `offset` on, or fewer at the end of the file."""
        return read_patiently(lambda: self._read(size, offset), self._path)

    def close(self) -> None:
        if self._handle is not None:
            self._close(self._handle)
            self._handle = None

    def _read(self, size: int, offset: int) -> bytes:
        try:
            if self._handle is None:
                self._handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(self._handle, size, offset)
        except OSError:
            self.close()
            raise

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": self._path, "_handle": None}

    def __del__(self) -> None:
        self.close()
