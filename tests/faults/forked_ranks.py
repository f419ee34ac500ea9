"""The ranks of a training as forks of a process that has the imports: the supervisor starts them as it starts others.

New processes would import for minutes on a busy machine, and what happens when one of them dies is the same.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import NoReturn

from tests.faults.events import Control
from tests.faults.trial import exit_after
from tests.train import fakes
from wavlm.errors.boundary import code_errors
from wavlm.execution import supervisor

RANKS = 2
LOST_SECONDS = 4.0  # what a rank gets that waits for a dead one where no signal comes through; runs give two minutes


class ForkedRank:
    """What `subprocess.Popen` is to the supervisor."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], kept: Sequence[int]) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _close_sockets_but(kept)
            os.environ.clear()
            os.environ.update(env)
            _train_and_exit(Path(command[-1]))

    def poll(self) -> int | None:
        if self.returncode is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if found else None
        return self.returncode

    def wait(self) -> int:
        while (code := self.poll()) is None:
            time.sleep(0.01)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def train_by_ranks(out: Path, meanwhile: Callable[[list[ForkedRank]], object] | None = None) -> NoReturn:
    """Train by two ranks in a folder, and end this process with their exit code.

    meanwhile: what a thread of this process does, with the ranks, once they are started.
    """
    ranks: list[ForkedRank] = []

    def start(command: Sequence[str], *, env: Mapping[str, str], pass_fds: Sequence[int], **_: object) -> ForkedRank:
        ranks.append(ForkedRank(command, env, pass_fds))
        if len(ranks) == RANKS and meanwhile:
            Thread(target=meanwhile, args=(ranks,), daemon=True).start()
        return ranks[-1]

    signal.signal(signal.SIGTERM, lambda *_: None)  # after the ranks have ended, the caller of the supervisor notes it
    supervisor.LOST_SECONDS = LOST_SECONDS
    of_ranks = SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL)
    supervisor.subprocess = of_ranks  # type: ignore[attr-defined]  # in a process that ends here
    code = supervisor.run_ranks(["rank", str(out)], RANKS)
    sys.stdout.flush()
    os._exit(code)


def await_event(control: Control, number: int) -> None:
    """Return when there were so many events on files."""
    while control.count < number:
        time.sleep(0.0005)


def _close_sockets_but(kept: Sequence[int]) -> None:
    """As a new process has none that it was not given: one that another rank listens on would never be refused."""
    for path in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            if int(path.name) not in kept and str(path.readlink()).startswith("socket:"):
                os.close(int(path.name))


def _train_and_exit(out: Path) -> NoReturn:
    """As a rank's own process does, whose end says why."""

    def work() -> None:
        with code_errors(out):
            fakes.run(fakes.job(out))

    exit_after(work)
