"""What became of the parts of a stage: results in order, or one error that says which parts failed, and why."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import Generic, TypeVar

from wavlm.errors import CannotWriteError, CodedError, WorkerDiedError
from wavlm.execution.attempts import Outcome
from wavlm.execution.progress import Progress

P = TypeVar("P")
R = TypeVar("R")

MOST_FAILED = 100  # after so many no further part is begun: what is wrong is not the parts
MOST_KILLED = 10  # the same for parts that kill: each takes two workers with it
MOST_LISTED = 10
MOST_CHARACTERS = 200

logger = logging.getLogger(__name__)


class Outcomes(Generic[P, R]):
    """Collects the outcomes of parts, in whatever order they come, and shows how many there are."""

    def __init__(self, parts: Sequence[P], progress: Progress) -> None:
        self._parts = parts
        self._progress = progress
        self._found: dict[int, Outcome[R]] = {}
        self._failed: list[int] = []
        self._repeated: list[int] = []
        self._num_killed = 0
        self._ends_all = False
        progress(0, len(parts))

    def __contains__(self, number: int) -> bool:
        return number in self._found

    @property
    def left(self) -> list[int]:
        """Numbers of the parts whose outcome is not known, in order."""
        return [number for number in range(len(self._parts)) if number not in self._found]

    def is_hopeless(self) -> bool:
        """Whether to begin no further part: the disk is full or read-only, or very many parts have failed."""
        return self._ends_all or len(self._failed) >= MOST_FAILED or self._num_killed >= MOST_KILLED

    def add(self, number: int, outcome: Outcome[R]) -> None:
        """Note the outcome of a part. A second outcome of the same part says nothing new."""
        if number in self._found:
            return
        self._found[number] = outcome
        if outcome.repeats:
            self._repeated.append(number)
            text = shorten(self._parts[number])
            logger.warning("storage failed in passing: tried %d times again; at part %s", outcome.repeats, text)
        if outcome.error is not None:
            self._failed.append(number)
            self._num_killed += isinstance(outcome.error, WorkerDiedError)
            self._ends_all = self._ends_all or isinstance(outcome.error, CannotWriteError | MemoryError)
            if not self._ends_all and len(self._failed) == 1 and len(self._parts) > 1:
                logger.error("a part failed, the others are finished first: %s", outcome.error)
        self._progress(len(self._found), len(self._parts))

    def results(self) -> list[R]:
        """The results in the order of the parts. Raises the error of the first part that failed, with a list."""
        if self._failed:
            raise self._explain()
        if self._repeated:
            logger.info("%d of %d parts succeeded only when tried again", len(self._repeated), len(self._parts))
        return [self._found[number].result for number in range(len(self._parts))]  # type: ignore[misc]

    def _explain(self) -> Exception:
        """The error of the first part that failed, with its type and code; notes name it and the others."""
        first, *others = sorted(self._failed)
        error = self._error_of(first)
        if others and isinstance(error, CodedError):
            error = _begin_with(f"{len(self._failed)} of {len(self._parts)} parts failed, the first: ", error)
        error.add_note(f"while making part {shorten(self._parts[first])}")
        for number in others[: MOST_LISTED - 1]:
            error.add_note(f"failed, too: part {shorten(self._parts[number])}: {self._error_of(number)}")
        if len(others) >= MOST_LISTED:
            error.add_note(f"and {len(others) - MOST_LISTED + 1} more parts")
        if not_begun := len(self._parts) - len(self._found):
            error.add_note(f"{not_begun} of {len(self._parts)} parts were not begun")
        return error

    def _error_of(self, number: int) -> Exception:
        error = self._found[number].error
        assert error is not None, "asked of failed parts only"  # noqa: S101
        return error


def shorten(part: object) -> str:
    """The name of a part in a message."""
    text = str(part)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."


def _begin_with(text: str, error: CodedError) -> CodedError:
    """The same error, of the same type and code, with a message that begins so."""
    changed = copy.copy(error)
    changed.message = text + error.message
    changed.args = (error.code, changed.message)
    changed.__cause__ = error.__cause__
    return changed
