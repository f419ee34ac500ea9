"""Stop signals (SIGTERM, SIGINT): noted by who works, and kept for a child that is not ready for them yet."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from wavlm.errors import EXIT_STOPPED

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether SIGTERM or SIGINT was received. Use as a context: leaving it restores the signal handlers.

    A signal that came before, while `keep_signals` held it back, is noted on entering.
    """

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> StopRequest:
        self._before = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal's form
        self.requested = True


@contextmanager
def keep_signals() -> Iterator[None]:
    """A context whose children are started with stop signals held back, until they enter a `StopRequest`.

    A child needs some tenths of a second until its handlers are there. A signal that comes before would end it as
    signals do by default, with another exit code and without its last words. The kernel keeps such a signal instead.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_on_signals(code: int = EXIT_STOPPED) -> None:
    """From now on a stop signal ends this process at once, with this exit code.

    For moments in which there is nothing to undo and an exception might be lost in somebody's import or exit handler:
    while a program starts, and after its work.
    """

    def leave(number: int, _: FrameType | None) -> NoReturn:
        if code == EXIT_STOPPED:
            os.write(2, f"STOPPED: by {signal.Signals(number).name}; run the same command again to continue\n".encode())
        os._exit(code)

    for number in STOP_SIGNALS:
        signal.signal(number, leave)


def end_within(seconds: float, code: int) -> None:
    """Give this process so long to end by itself, and end it then with this exit code.

    For the time after its work: exit handlers of libraries may wait for a server that never answers.
    """
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()


def end_process(code: int, *, has_handlers: bool = True) -> NoReturn:
    """Wait for threads, run the exit handlers, write out what is buffered, and exit without the end of the interpreter.

    In that end two things would go wrong. Signals have their default meaning again, so one that comes then ends a
    process by itself which has done all its work. And a thread of gloo that drops its last tensor takes Python's lock
    for that, which aborts the process (pytorch#190489).
    """
    import atexit
    import logging  # here, because a command handles signals before it imports what takes time

    if has_handlers:  # what the interpreter itself begins its end with; no public function does it
        threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001
        atexit._run_exitfuncs()  # noqa: SLF001
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # who listens may be gone
            stream.flush()
    os._exit(code)
