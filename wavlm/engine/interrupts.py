"""What ends a training that hangs: a watchdog. Stop signals: wavlm.execution.stop."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wavlm.engine.ranks import COMPILING_TIMEOUT, WRITING_TIMEOUT
from wavlm.errors import EXIT_STOPPED

STEP_TIMEOUT_S = 100.0  # of one update; a collective waits for 120, and would then say less
GRACE_S = 15.0  # for the last words; after that the process ends without them
LOOK_S = 1.0
FIRST_STEP_TIMEOUT_S = 900.0  # includes the first read of the data


@contextmanager
def watchdog(*, compiles: bool = False, on_hang: Callable[[float], None] = lambda _: None) -> Iterator[Watchdog]:
    """Yields a watchdog that is switched off when the block ends.

    compiles: any update may compile for new shapes, so the timeout is COMPILING_TIMEOUT. on_hang: called with the
    seconds that were waited, in a thread of its own, before the process ends with 75.
    """
    ended = threading.Event()
    dog = Watchdog(COMPILING_TIMEOUT.total_seconds() if compiles else STEP_TIMEOUT_S)
    thread = threading.Thread(target=dog.watch, args=(ended, on_hang), name="watchdog", daemon=True)
    thread.start()
    try:
        yield dog
    finally:
        ended.set()
        faulthandler.cancel_dump_traceback_later()


class Watchdog:
    """Dumps all stacks and ends the process if it is not fed in time, so that a hang does not last for ever."""

    def __init__(self, step_timeout_s: float) -> None:
        self._fed_at, self._step_timeout_s = time.monotonic(), step_timeout_s
        self._arm(max(FIRST_STEP_TIMEOUT_S, step_timeout_s))

    def watch(self, ended: threading.Event, on_hang: Callable[[float], None]) -> None:
        """End the process, with its last words, when it was not fed in time."""
        while not ended.wait(min(LOOK_S, self._timeout_s / 2)):
            if time.monotonic() > self._ends_at:
                try:
                    on_hang(self._timeout_s)
                    faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr, all_threads=True)
                finally:
                    os._exit(EXIT_STOPPED)

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
        self._timeout_s, self._ends_at = timeout_s, time.monotonic() + timeout_s
        # If no thread of Python's runs any more, this one of C does.
        faulthandler.dump_traceback_later(timeout_s + GRACE_S, exit=True, file=sys.__stderr__ or sys.stderr)
