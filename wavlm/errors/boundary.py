"""Errors of the operating system and of libraries become errors with a code: once, where a stage or a command ends.

Inside a stage such an error is an ordinary exception. Only a writer or reader that knows more gives it a code earlier.
Libraries are recognised by name, so that none is imported here.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wavlm.errors import (
    AnswerTooLargeError,
    BadDataError,
    CannotWriteError,
    CodedError,
    LockedError,
    NoResourcesError,
    ServiceMissingError,
    UsageError,
)
from wavlm.errors.codes import Code

_Meaning = tuple[type[CodedError], Code, str]

_FULL: _Meaning = (CannotWriteError, Code.DISK_FULL, "free space and run again")
_READ_ONLY: _Meaning = (CannotWriteError, Code.NOT_WRITABLE, "choose a folder that can be written")
_FAILING: _Meaning = (BadDataError, Code.DISK_ERROR, "check the disk or its connection, then run again")
_LOST: _Meaning = (CannotWriteError, Code.FOLDER_LOST, "mount the disk again or bring the folder back, then run again")
_EXHAUSTED: _Meaning = (
    NoResourcesError,
    Code.NO_RESOURCES,
    "lower --workers, free memory or raise the limits of the user (ulimit), then run again",
)
_REMOVED: _Meaning = (BadDataError, Code.FILE_LOST, "find out what removes it, bring it back, then run again")
_REFUSED: _Meaning = (CannotWriteError, Code.OS_REFUSED, "mend what this says, then run again")
_IN_USE: _Meaning = (CannotWriteError, Code.OS_REFUSED, "see what else uses it or writes into it, then run again")
_UNABLE: _Meaning = (CannotWriteError, Code.OS_REFUSED, "choose a place on a file system that can do it")
_TOO_LARGE: _Meaning = (
    ServiceMissingError,
    Code.ANSWER_TOO_LARGE,
    "check the server's address, and what stands between it and this machine",
)
_DAMAGED: _Meaning = (BadDataError, Code.FILE_DAMAGED, "make or fetch it again")
_BUSY: _Meaning = (LockedError, Code.LOCKED, "wait for the other process and run again")
_OFFLINE: _Meaning = (ServiceMissingError, Code.SERVICE_LOST, "check the server and the network, then run again")


def _numbers_of(*names: str) -> list[int]:
    """Those of the names that this operating system has a number for."""
    return [number for name in names if (number := getattr(errno, name, None))]


_BY_ERRNO: dict[int, _Meaning | None] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FULL),
    errno.EROFS: _READ_ONLY,
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM), (LockedError, Code.NOT_PERMITTED, "check its owner and its permissions")
    ),
    **dict.fromkeys(
        (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOLCK, errno.EUSERS, errno.ENOBUFS), _EXHAUSTED
    ),
    **dict.fromkeys((errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO), _LOST),
    **dict.fromkeys((errno.EIO, errno.EBADMSG, *_numbers_of("EUCLEAN", "EHWPOISON", "ENOMEDIUM")), _FAILING),
    **dict.fromkeys((errno.EBUSY, errno.ETXTBSY, errno.ENOTEMPTY, errno.EDEADLK), _IN_USE),
    errno.EXDEV: (CannotWriteError, Code.OS_REFUSED, "put both places on one file system"),
    **dict.fromkeys((errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK), _UNABLE),
    **dict.fromkeys((errno.EBADF, errno.EFAULT), None),  # bugs: a file that was closed, an address that is none
    **dict.fromkeys(
        (
            errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH,
            errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRINUSE, errno.EADDRNOTAVAIL,
        ),
        _OFFLINE,
    ),
    errno.ENOENT: (UsageError, Code.NOT_FOUND, "correct the path"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), (UsageError, Code.NOT_A_FOLDER, "name a folder")),
    errno.EISDIR: (UsageError, Code.NOT_A_FILE, "name a file"),
    **dict.fromkeys((errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL), (UsageError, Code.PATH_BAD, "correct the path")),
}  # fmt: skip
# What SQLite says, by the beginning of it (sqlite.org/rescode.html gives the words of each code).
_BY_SQLITE: dict[str, _Meaning] = {
    "database or disk is full": _FULL,
    "attempt to write a readonly database": _READ_ONLY,
    "unable to open database file": _READ_ONLY,
    "disk I/O error": _FAILING,
    "database is locked": _BUSY,
    "database table is locked": _BUSY,
    "file is not a database": _DAMAGED,
    "database disk image is malformed": _DAMAGED,
}
_BY_LIBRARY: dict[str, _Meaning] = {  # package of the exception's class -> the meaning of those that name no errno
    **dict.fromkeys(("gzip", "_lzma", "lzma", "soundfile", "tarfile", "zipfile", "zlib"), _DAMAGED),
    "pyarrow": _DAMAGED,
    "safetensors": _DAMAGED,
    "safetensors_rust": _DAMAGED,
    "httpx": _OFFLINE,
    "httpcore": _OFFLINE,
    "requests": _OFFLINE,
    "urllib3": _OFFLINE,
}
# What Python's unpackers and torch say of damaged files, in errors that have no class of their own.
_DAMAGE_IN_TEXT = re.compile(r"Compressed file ended before|Invalid data stream|PytorchStreamReader failed")
# What a user's path is refused with; inside a stage nobody gave a path.
_OF_PATHS = {Code.NOT_FOUND: _REMOVED, Code.NOT_A_FOLDER: _IN_USE, Code.NOT_A_FILE: _IN_USE}
# Rust writes `No space left on device (os error 28)`, Arrow `[errno 28] No space left on device`.
_ERRNO_IN_TEXT = re.compile(r"(?:os error |\[errno )(\d+)", re.IGNORECASE)
_LENGTH_IN_TEXT = "unexpected pos"
_EXHAUSTED_IN_TEXT = (
    "can't start new thread", "unable to start watchdog thread", "can't allocate memory", "Cannot allocate memory",
    "failed to map segment from shared object", "cannot map zero-fill pages", "Too many open files",
)  # fmt: skip
_NO_ROOM_FOR_CODE = re.compile(r"could not create a primitive(?! descriptor)")  # says oneDNN, which makes its code
MAX_CHARACTERS = 500  # of what a library says


@contextmanager
def code_errors(where: Path | None = None) -> Iterator[None]:
    """Raise what the operating system or a library raises in the block with a code. Bugs stay what they are.

    where: the folder that the block fills. It is named if the error names no file. If it has gone, the disk is lost.
    """
    try:
        yield
    except Exception as error:
        coded = to_coded(error, where)
        if coded is None or coded is error:
            raise
        raise coded from error


def to_coded(error: BaseException, where: Path | None = None) -> CodedError | None:
    """An error with a code for what the operating system or a library said; None for what may be a bug."""
    error = _uncover(error)
    if isinstance(error, CodedError):
        return error
    meaning = _meaning_of(error)
    if meaning is None:
        return None
    if where is not None:
        meaning = _inside(meaning, where)
    kind, code, advice = meaning
    name = getattr(error, "filename", None)
    place = name if isinstance(name, str | bytes | os.PathLike) else where
    return kind(code, f"{_say(error)}; at {os.fsdecode(place) if place else 'a place that is not named'}; {advice}")


def _uncover(error: BaseException) -> BaseException:
    """What the operating system said, where torch then complains of the length of a file that it could not write."""
    if not (isinstance(error, RuntimeError) and _LENGTH_IN_TEXT in str(error)):
        return error
    return next((item for item in _chain(error) if isinstance(item, OSError)), error)


def _inside(meaning: _Meaning, where: Path) -> _Meaning:
    """The meaning inside a stage, which fills the folder `where`: there nobody gave a path that could be corrected."""
    if meaning[1] is Code.NOT_FOUND and not where.exists():
        return _LOST
    return _OF_PATHS.get(meaning[1], meaning)


def _meaning_of(error: BaseException) -> _Meaning | None:
    packages = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if packages & {"sqlite3", "sqlalchemy"}:
        said = str(getattr(error, "orig", error))
        return next((meaning for words, meaning in _BY_SQLITE.items() if said.startswith(words)), None)
    if known := _meaning_without_number(error, packages):
        return known
    fallback = next((_BY_LIBRARY[package] for package in sorted(packages) if package in _BY_LIBRARY), None)
    if fallback is None and isinstance(error, OSError):
        fallback = _REFUSED
    return fallback and _BY_ERRNO.get(_find_errno(error), fallback)


def _meaning_without_number(error: BaseException, packages: set[str]) -> _Meaning | None:
    """Of an error whose class or words say enough: it has no number, or none of the operating system."""
    known = (
        (_EXHAUSTED, _is_exhausted(error)),
        (_TOO_LARGE, isinstance(error, AnswerTooLargeError)),
        (_DAMAGED, isinstance(error, UnicodeDecodeError) or _is_damage(error)),
        (_OFFLINE, isinstance(error, ConnectionError | TimeoutError) or bool(packages & {"socket", "ssl", "http"})),
    )
    return next((meaning for meaning, applies in known if applies), None)


def _is_damage(error: BaseException) -> bool:
    return isinstance(error, EOFError | OSError | RuntimeError) and bool(_DAMAGE_IN_TEXT.search(str(error)))


def _is_exhausted(error: BaseException) -> bool:
    """No memory, or no thread; also if something else failed because the work was left for that reason."""
    return any(map(_says_exhausted, _chain(error)))


def _says_exhausted(error: BaseException) -> bool:
    """Python and torch say it by words; so does the dynamic linker, because libraries are loaded when first used."""
    if isinstance(error, RuntimeError | ImportError):
        said = str(error)
        return any(word in said for word in _EXHAUSTED_IN_TEXT) or bool(_NO_ROOM_FOR_CODE.search(said))
    return isinstance(error, MemoryError)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from or while that was handled, and so on, as a stack trace shows them.

    Each once: an error that is raised from one that was raised while it was handled closes a ring.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _find_errno(error: BaseException) -> int:
    """The number of the operating system, 0 if there is none."""
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number > 0:
        return number
    found = _ERRNO_IN_TEXT.search(str(error))
    return int(found.group(1)) if found else 0


def _say(error: BaseException) -> str:
    if strerror := getattr(error, "strerror", None):
        return str(strerror).lower()
    return (" ".join(str(error).split()) or type(error).__name__)[:MAX_CHARACTERS]
