"""Stop requests and the watchdog: what ends a training before its last update."""

from __future__ import annotations

import faulthandler
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from wavlm.train.ranks import COMPILING_TIMEOUT, WRITING_TIMEOUT

STEP_TIMEOUT_S = 120.0
FIRST_STEP_TIMEOUT_S = 900.0  # the first read of the data included


class StopRequest:
    """Whether SIGTERM or SIGINT has asked to stop. Use as a context: handlers are put back."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> StopRequest:
        signals = (signal.SIGTERM, signal.SIGINT)
        self._before = {number: signal.signal(number, self._note) for number in signals}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal's form
        self.requested = True


@contextmanager
def watchdog(*, compiles: bool = False) -> Iterator[Watchdog]:
    """Yields a watchdog that is quiet again when the block ends.

    compiles: any step may compile for shapes that have not been before.
    """
    try:
        yield Watchdog(COMPILING_TIMEOUT.total_seconds() if compiles else STEP_TIMEOUT_S)
    finally:
        faulthandler.cancel_dump_traceback_later()


class Watchdog:
    """Dumps all stacks and ends the process if it is not fed in time: a hang must not look busy."""

    def __init__(self, step_timeout_s: float) -> None:
        self._fed_at, self._step_timeout_s = time.monotonic(), step_timeout_s
        self._arm(max(FIRST_STEP_TIMEOUT_S, step_timeout_s))

    def feed(self) -> None:
        """Say that there was progress; the next may take ten times as long as this one took."""
        now = time.monotonic()
        self._arm(max(self._step_timeout_s, 10 * (now - self._fed_at)))
        self._fed_at = now

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Wait for rank 0's files: as long as collectives do, and no step is measured by it."""
        began, timeout_s = time.monotonic(), self._timeout_s
        self._arm(WRITING_TIMEOUT.total_seconds() + STEP_TIMEOUT_S)
        try:
            yield
        finally:
            self._fed_at += time.monotonic() - began
            self._arm(timeout_s)

    def _arm(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        faulthandler.dump_traceback_later(timeout_s, exit=True, file=sys.__stderr__ or sys.stderr)
