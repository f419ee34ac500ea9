"""Run work in a fork of the campaign, which spares the imports: how it ended, what it said, what it left running."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from tests.faults.events import Control
from wavlm.errors import CodedError

LIMIT_SECONDS = 300.0  # of one run; a machine may be busy
ORPHAN_SECONDS = 10.0  # what a killed program gets until all that it has started is gone
PROC = Path("/proc")
MARK = "FAULTS_SESSION"


class BrokenPromiseError(AssertionError):
    """A fault was not survived as promised."""


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    code: int  # of exit; negative: the signal that ended it
    said: str
    seconds: float

    @property
    def was_killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def last_line(self) -> str:
        return (self.said.strip().splitlines() or [""])[-1][:2000]


def promise(condition: object, otherwise: str) -> None:
    """Raise BrokenPromiseError unless the condition holds."""
    if not condition:
        raise BrokenPromiseError(otherwise)


def run_forked(
    work: Callable[[], object], log: Path, control: Control | None = None, limit_seconds: float = LIMIT_SECONDS
) -> Ended:
    """Run work in a fork with a session of its own, of which nothing may live on.

    An error with a code ends the fork with its exit code. What it started has to be gone ORPHAN_SECONDS after it.
    Raises BrokenPromiseError if something is left, or if there was no end.
    """
    return start_forked(work, log, control).wait(limit_seconds)


def run_teaching(work: Callable[[], object], log: Path, what: str) -> None:
    """Run undisturbed work in a fork, then import here what it had to import: later forks need not.

    Raises BrokenPromiseError, which says `what` it was, if the work fails.
    """
    names = log.with_name("imports")
    names.unlink(missing_ok=True)

    def work_and_tell() -> None:
        before = set(sys.modules)
        work()
        names.write_text("\n".join(name for name in sys.modules if name not in before))

    done = run_forked(work_and_tell, log)
    for name in names.read_text().split() if names.exists() else ():
        with suppress(ImportError):  # a part of a package that only the package itself can import
            import_module(name)
    promise(done.code == 0, f"the undisturbed {what} ended with {done.code}: {done.said[-2000:]}")


def start_forked(work: Callable[[], object], log: Path, control: Control | None = None) -> Running:
    """Begin to run work in such a fork."""
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        _work_and_exit(work, log, control)
    return Running(child, log, begin)


@dataclass(frozen=True)
class Running:
    """A fork at work."""

    pid: int
    log: Path
    begin: float

    def wait(self, limit_seconds: float = LIMIT_SECONDS) -> Ended:
        """How it ended. Raises BrokenPromiseError if it does not, or if something is left."""
        status = _wait(self.pid, self.begin + limit_seconds)
        seconds = time.monotonic() - self.begin
        left = _survivors(self.pid)
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        said = self.log.read_text(errors="replace") if self.log.exists() else ""
        promise(status is not None, f"no end within {limit_seconds:.0f} s: {said[-300:]}")
        promise(not left, f"{len(left)} processes were left: {said[-300:]}")
        assert status is not None
        return Ended(os.waitstatus_to_exitcode(status), said, seconds)


def _work_and_exit(work: Callable[[], object], log: Path, control: Control | None) -> NoReturn:
    def begin_and_work() -> None:
        os.setsid()
        os.environ[MARK] = str(os.getpid())
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        if control:
            control.lead()
        work()

    exit_after(begin_and_work)


def exit_after(work: Callable[[], object]) -> NoReturn:
    """Do the work of a fork, and end it as a process of its own would: an error with a code by its exit code."""
    code = 1
    try:
        work()
        code = 0
    except CodedError as error:
        code = error.exit_code
        with suppress(OSError):  # who listens may be gone
            sys.stderr.write(f"{error}\n")
    except BaseException:  # noqa: BLE001 - the end of the fork: whatever it is, it is shown
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise AssertionError


def _wait(child: int, end: float) -> int | None:
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _survivors(session: int) -> list[int]:
    """Processes of a session whose leader has ended, after the time that they have for it."""
    end = time.monotonic() + ORPHAN_SECONDS
    while (left := processes_of(session)) and time.monotonic() < end:
        time.sleep(0.02)
    return left


def processes_of(session: int) -> list[int]:
    """The processes of a session that run, and those that have left it but were started below it."""
    mark, found = mark_of(session), []
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):
            state, _, _, its = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            is_below = int(its) == session or mark in (folder / "environ").read_bytes().split(b"\0")
            if is_below and state != "Z":
                found.append(int(folder.name))
    return found


def mark_of(session: int) -> bytes:
    """What the environment of all programs holds that are started below a session."""
    return f"{MARK}={session}".encode()
