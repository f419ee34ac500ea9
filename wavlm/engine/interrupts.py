"""What ends a training that hangs: a watchdog. Stop signals: wavlm.execution.stop."""

from __future__ import annotations

import faulthandler
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from wavlm.engine.ranks import COMPILING_TIMEOUT, WRITING_TIMEOUT

STEP_TIMEOUT_S = 120.0  # of one update
FIRST_STEP_TIMEOUT_S = 900.0  # includes the first read of the data


@contextmanager
def watchdog(*, compiles: bool = False) -> Iterator[Watchdog]:
    """Yields a watchdog that is switched off when the block ends.

    compiles: any update may compile for new shapes, so the timeout is COMPILING_TIMEOUT.
    """
    try:
        yield Watchdog(COMPILING_TIMEOUT.total_seconds() if compiles else STEP_TIMEOUT_S)
    finally:
        faulthandler.cancel_dump_traceback_later()


class Watchdog:
    """Dumps all stacks and ends the process if it is not fed in time, so that a hang does not last for ever."""

    def __init__(self, step_timeout_s: float) -> None:
        self._fed_at, self._step_timeout_s = time.monotonic(), step_timeout_s
        self._arm(max(FIRST_STEP_TIMEOUT_S, step_timeout_s))

    def feed(self) -> None:
        """Report progress and start the timeout anew: ten times the time of this update, or more."""
        now = time.monotonic()
        self._arm(max(self._step_timeout_s, 10 * (now - self._fed_at)))
        self._fed_at = now

    @contextmanager
    def patient(self) -> Iterator[None]:
        """A context for waiting until rank 0 has written files: its timeout is WRITING_TIMEOUT and a little.

        The time spent in it does not count as time of an update.
        """
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
