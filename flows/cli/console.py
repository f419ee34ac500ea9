"""Output of the command line: consoles, logging, and the message and exit code of a failure."""

from __future__ import annotations

import io
import logging
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.logging import RichHandler

from wavlm.errors import EXIT_STOPPED
from wavlm.errors.boundary import to_coded

OURS = ("wavlm", "tasks", "flows")
PLAIN_WIDTH = 200  # of tables that go into a file or a pipe
out = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
err = Console(stderr=True)


class InterruptedBySignal(BaseException):
    """SIGINT or SIGTERM: not an Exception, so that nothing on the way up takes it for a failure."""


def set_up_logging(complete: Callable[[str], str] = str) -> None:
    """Facts of our own code to stderr, above a progress bar if there is one; `complete` completes commands in them."""
    for stream in (sys.stdout, sys.stderr):  # a file name of any bytes can be printed
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    terminal = err.is_terminal
    handler: logging.Handler = (
        RichHandler(console=err, show_path=False, show_level=False) if terminal else logging.StreamHandler(sys.stderr)
    )
    if not terminal:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))

    def rewrite(record: logging.LogRecord) -> bool:
        record.msg, record.args = complete(record.getMessage()), ()
        return True

    handler.addFilter(rewrite)
    for name in OURS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False


def raise_on_signals() -> None:
    """Make SIGINT and SIGTERM unwind the stack, so that children are stopped on the way up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    raise InterruptedBySignal(signal.Signals(number).name)


def exit_code(error: BaseException) -> int | None:
    """What the command line returns for an error that people act on; None for a bug."""
    if isinstance(error, InterruptedBySignal):
        return EXIT_STOPPED
    coded = to_coded(error)
    return coded.exit_code if coded else None


def print_error(error: BaseException, complete: Callable[[str], str] = str) -> None:
    """One message, no stack trace: code, what happened, where, what to do. `complete` makes its commands complete."""
    if isinstance(error, InterruptedBySignal):
        err.print(f"STOPPED: by {error}; run the same command again to continue", style="yellow")
        return
    # No line is broken by us: paths and commands in it are there to be copied.
    shown = to_coded(error) or error
    err.print(complete(str(shown)), style="red", markup=False, highlight=False, soft_wrap=True)
    for note in getattr(error, "__notes__", ()):
        err.print(complete(str(note)), markup=False, highlight=False, soft_wrap=True)
