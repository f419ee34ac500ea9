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
        self._is_known = bytearray(len(parts))  # hundreds of thousands of parts take little memory
        self._num_known = 0
        self._results: list[R | None] = [None] * len(parts)
        self._errors: dict[int, Exception] = {}
        self._num_repeated = self._num_killed = 0
        self._ends_all = False
        progress(0, len(parts))

    def __contains__(self, number: int) -> bool:
        return bool(self._is_known[number])

    @property
    def left(self) -> list[int]:
        """Numbers of the parts whose outcome is not known, in order."""
        return [number for number, is_known in enumerate(self._is_known) if not is_known]

    def is_hopeless(self) -> bool:
        """Whether to begin no further part: the disk is full or read-only, or very many parts have failed."""
        return self._ends_all or len(self._errors) >= MOST_FAILED or self._num_killed >= MOST_KILLED

    def add(self, number: int, outcome: Outcome[R]) -> None:
        """Note the outcome of a part. A second outcome of the same part says nothing new."""
        if number in self:
            return
        self._is_known[number] = True
        self._num_known += 1
        self._results[number] = outcome.result
        if outcome.repeats:
            self._num_repeated += 1
            text = shorten(self._parts[number])
            logger.warning("storage failed in passing: tried %d times again; at part %s", outcome.repeats, text)
        if outcome.error is not None:
            self._add_error(number, outcome.error)
        self._progress(self._num_known, len(self._parts))

    def _add_error(self, number: int, error: Exception) -> None:
        self._errors[number] = error
        self._num_killed += isinstance(error, WorkerDiedError)
        self._ends_all = self._ends_all or isinstance(error, CannotWriteError | MemoryError)
        if not self._ends_all and len(self._errors) == 1 and len(self._parts) > 1:
            logger.error("a part failed, the others are finished first: %s", error)

    def results(self) -> list[R]:
        """The results in the order of the parts. Raises the error of the first part that failed, with a list."""
        if self._errors:
            raise self._explain()
        if self._num_repeated:
            logger.info("%d of %d parts succeeded only when tried again", self._num_repeated, len(self._parts))
        return self._results  # type: ignore[return-value]

    def _explain(self) -> Exception:
        """The error of the first part that failed, with its type and code; notes name it and the others."""
        first, *others = sorted(self._errors)
        error = self._errors[first]
        if others and isinstance(error, CodedError):
            error = _begin_with(f"{len(self._errors)} of {len(self._parts)} parts failed, the first: ", error)
        error.add_note(f"while making part {shorten(self._parts[first])}")
        for number in others[: MOST_LISTED - 1]:
            error.add_note(f"failed, too: part {shorten(self._parts[number])}: {self._errors[number]}")
        if len(others) >= MOST_LISTED:
            error.add_note(f"and {len(others) - MOST_LISTED + 1} more parts")
        if not_begun := len(self._parts) - self._num_known:
            error.add_note(f"{not_begun} of {len(self._parts)} parts were not begun")
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
