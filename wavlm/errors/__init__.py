"""Errors for users: each has a code, a message (what happened, where, what to do) and an exit code."""

from __future__ import annotations

from typing import Any

from wavlm.errors.codes import TRANSIENT, Code
from wavlm.errors.secrets import without_secrets

__all__ = [
    "EXIT_BAD_DATA",
    "EXIT_BUG",
    "EXIT_CANNOT_WRITE",
    "EXIT_LOCKED",
    "EXIT_NO_RESOURCES",
    "EXIT_SERVICE_MISSING",
    "EXIT_STOPPED",
    "EXIT_USAGE",
    "TRANSIENT",
    "AnswerTooLargeError",
    "BadDataError",
    "CannotWriteError",
    "Code",
    "CodedError",
    "HungError",
    "LockedError",
    "NoResourcesError",
    "RankLostError",
    "ReadLostError",
    "ServiceMissingError",
    "StoppedError",
    "UsageError",
    "WorkerDiedError",
]

EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_BAD_DATA = 65
EXIT_SERVICE_MISSING = 69
EXIT_NO_RESOURCES = 71
EXIT_CANNOT_WRITE = 73
EXIT_STOPPED = 75
EXIT_LOCKED = 77


class AnswerTooLargeError(OSError):
    """A server sends more than its answer may have. `wavlm.errors.boundary` gives it a code."""


class CodedError(Exception):
    """Base: `code` names the kind of failure, `exit_code` is what the command line returns.

    A code is a `Code`, or its text. A message reads `what happened; where; what to do`. Users, passwords and queries of
    addresses in it are left out.
    """

    exit_code: int = EXIT_BUG

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = without_secrets(message)
        super().__init__(code, self.message)

    @property
    def is_transient(self) -> bool:
        """Whether the same work may succeed later, although nobody has changed anything."""
        return self.code in TRANSIENT

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by code and message, whatever arguments the constructor of a subclass takes."""
        return _rebuild_error, (type(self), self.code, self.message), self.__dict__


def _rebuild_error(kind: type[CodedError], code: str, message: str) -> CodedError:
    """Make an error that was pickled. Its attributes are restored afterwards."""
    return kind.__new__(kind, code, message)


class UsageError(CodedError):
    """A recipe, spec or option is wrong."""

    exit_code = EXIT_USAGE


class BadDataError(CodedError):
    """Data are damaged, do not fit together, or were rejected too often."""

    exit_code = EXIT_BAD_DATA


class ServiceMissingError(CodedError):
    """A server, mirror or program that is needed does not answer or is missing."""

    exit_code = EXIT_SERVICE_MISSING


class CannotWriteError(CodedError, OSError):
    """A write failed because space or permission is missing. An OSError, so that libraries pass it on as one."""

    exit_code = EXIT_CANNOT_WRITE


class StoppedError(CodedError):
    """Stopped on purpose; run the same command again to continue."""

    exit_code = EXIT_STOPPED


class ReadLostError(CodedError, OSError):
    """A disk or a network did not come back within a minute. An OSError: what is retried as one, is retried again."""

    exit_code = EXIT_STOPPED


class HungError(CodedError):
    """Nothing went on in this process for too long. Nobody saved anything: the last checkpoint counts."""

    exit_code = EXIT_STOPPED


class RankLostError(CodedError):
    """Ranks wait for one that has ended or hangs. Nobody saved anything: the last checkpoint counts."""

    exit_code = EXIT_STOPPED


class LockedError(CodedError):
    """Another process makes the same artifact or file."""

    exit_code = EXIT_LOCKED


class NoResourcesError(CodedError):
    """The machine has no memory, processes or open files left for the work."""

    exit_code = EXIT_NO_RESOURCES


class WorkerDiedError(NoResourcesError):
    """A process of ours ended without an exception: it was killed, ran out of memory, or crashed in a library."""
