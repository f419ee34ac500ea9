"""One part in a worker: tried again while the storage fails in passing, and every failure brought back as a value.

A network disk that fails over, or a cable that is pulled, ends within a minute or so. What raised for another reason
raises again: it is not tried again.
"""

from __future__ import annotations

import errno
import pickle
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from wavlm.errors import Code, CodedError, StoppedError
from wavlm.storage import passing

P = TypeVar("P")
R = TypeVar("R")

PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # a minute in all, as an NFS server needs to fail over
MOST_OF_TRACE = 4000  # letters
SLICE_SECONDS = 0.5  # a stop that is raised in this thread comes through between two of them
# What no waiting mends: the disk is full, a limit or a permission is in the way, or the path means something else.
LASTING = frozenset(
    {
        errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG,
        errno.EINVAL, errno.ELOOP, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.EXDEV,
        errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EBADF, errno.EFAULT, errno.EILSEQ,
    }
)  # fmt: skip
# After which the same command may succeed, although nobody has changed a file.
PASSING = passing.PASSING | {errno.EAGAIN}


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """How a part ended: with a result or with an error, and how often it was tried again."""

    result: R | None
    error: Exception | None = None
    repeats: int = 0


def attempt(work: Callable[[P], R], part: P) -> Outcome[R]:
    """Do a part. An OSError that may pass is followed by another attempt, for about a minute; no error is raised."""
    repeats = 0
    while True:
        try:
            return Outcome(work(part), repeats=repeats)
        except Exception as error:  # noqa: BLE001 - every failure of a part is reported, and ends no other part
            if not may_pass(error):
                return Outcome(None, error, repeats)
            if repeats == len(PAUSES_SECONDS):
                return Outcome(None, _give_up(error), repeats)
        _sleep(PAUSES_SECONDS[repeats])
        repeats += 1


def attempt_for_another(work: Callable[[P], R], part: P) -> Outcome[R]:
    """As `attempt`, for another process: an error arrives there, and a bug with its stack trace."""
    outcome = attempt(work, part)
    return outcome if outcome.error is None else Outcome(None, to_portable(outcome.error), outcome.repeats)


def to_portable(error: Exception) -> Exception:
    """The same error, if it can be pickled, else its text. What has no code says where it was raised."""
    if not isinstance(error, CodedError):
        error.add_note("".join(traceback.format_exception(error))[-MOST_OF_TRACE:])
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - just made
    except Exception:  # noqa: BLE001 - whatever a library's exception does when it is pickled
        error = RuntimeError("".join(traceback.format_exception_only(error)).strip())
    error.__traceback__ = None
    return error


def may_pass(error: BaseException) -> bool:
    """Whether the operating system reported something that may be over soon. Errors with a code are decided already."""
    if not isinstance(error, OSError) or isinstance(error, CodedError):
        return False
    return error.errno is not None and error.errno not in LASTING


def _give_up(error: Exception) -> Exception:
    """What storage kept saying: the same command may go on later. Another error stays as it is."""
    if not isinstance(error, OSError) or error.errno not in PASSING:
        return error
    given = StoppedError(
        Code.STORAGE_FAILING,
        f"{(error.strerror or str(error)).lower()}, {len(PAUSES_SECONDS)} times again within a minute; "
        f"at {error.filename or 'a file that is not named'}; "
        "see to the disk or its connection, then run the same command again: what is complete stays",
    )
    given.__cause__ = error
    return given


def _sleep(seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(SLICE_SECONDS, left))
