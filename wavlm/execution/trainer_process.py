"""What a trainer's process does around its work: read the job, leave last words, end with the right exit code."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar

from wavlm.errors import EXIT_BUG, EXIT_LOCKED, EXIT_STOPPED, CodedError
from wavlm.errors.boundary import code_errors
from wavlm.execution.exit_note import (
    ExitNote,
    find_exit_note,
    is_of_neighbour,
    remove_exit_note,
    send_exit_note,
    write_exit_note,
)
from wavlm.execution.stop import end_process

SayWhy = Callable[[CodedError], None]


class Outgoing(Protocol):
    """A job, as far as this module has to know it."""

    @property
    def out(self) -> Path: ...


J = TypeVar("J", bound=Outgoing)


def run_job(
    name: str, arguments: list[str], read: Callable[[Path], J], work: Callable[[J, SayWhy], None], about: str | None
) -> int:
    """Do the work of the job file that the arguments name; returns the exit code.

    name: of the module. about: what its `--help` says. The work gets a function that leaves last words, for a process
    that hangs.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=about)
    parser.add_argument("job", type=Path, help="a job file, as a run has written it")
    parser.add_argument("--note", type=int, metavar="FD", help="a pipe for the exit code and its message")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    given = parser.parse_args(arguments)
    job = None
    try:
        with code_errors(given.job.parent):
            job = read(given.job)
            work(job, partial(_say_why, name, pipe=given.note, out=job.out))
            remove_exit_note(job.out)
    except CodedError as error:
        _say_why(name, error, pipe=given.note, out=job.out if job else None)
        return error.exit_code
    return 0


def _say_why(name: str, error: CodedError, *, pipe: int | None, out: Path | None) -> None:
    """Leave the error in the log, in the pipe and in the training's folder. A full disk stops none but the last.

    A rank that only lost another one does not take the place of what that one said.
    """
    level = logging.INFO if error.exit_code == EXIT_STOPPED else logging.ERROR
    logging.getLogger(name).log(level, "%s", error)
    note = ExitNote(exit_code=error.exit_code, message=str(error))
    if pipe is not None:
        send_exit_note(pipe, note)
    if not out or not out.is_dir() or error.exit_code == EXIT_LOCKED:  # a locked folder belongs to another trainer
        return
    if not (is_of_neighbour(note) and find_exit_note(out)):
        with suppress(OSError):
            write_exit_note(out, note)


def run_to_end(main: Callable[[], int]) -> NoReturn:
    """Run `main` and exit with its code. Exit handlers run only after work that went well: they may wait for others."""
    try:
        code = main()
    except Exception:
        logging.getLogger(__name__).exception("this is a bug")
        code = EXIT_BUG
    end_process(code, has_handlers=code == 0)
