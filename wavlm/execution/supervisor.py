"""The process between a caller and its trainer. It ends with its caller, and holds the ranks of one machine together.

    python -m wavlm.execution.supervisor PARENT PROCESSES JOB NOTE_FD

If the caller dies for any reason, even by SIGKILL, the kernel sends SIGTERM to this process, and the trainer saves a
checkpoint and exits. Several ranks meet in a store that listens on 127.0.0.1 only: who may write to it may disturb the
training. (torchrun's own store listens on all interfaces and holds pickles.) This module does not import torch.
"""

from __future__ import annotations

import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wavlm.errors import EXIT_BUG, EXIT_STOPPED
from wavlm.execution.job import trainer_of
from wavlm.execution.meeting import Meeting
from wavlm.execution.processes import tie_to_parent
from wavlm.execution.stop import STOP_SIGNALS, StopRequest, keep_signals

# Read by wavlm.engine.ranks: where the store is, what its keys begin with, and for rank 0, which serves it, its socket.
STORE_HOST, STORE_PORT, STORE_TOKEN = "WAVLM_STORE_HOST", "WAVLM_STORE_PORT", "WAVLM_STORE_TOKEN"
STORE_SOCKET = "WAVLM_STORE_SOCKET"
# What says which rank a process is, and where the others are. A cluster may set it for processes of its own.
_OF_RANKS = re.compile(
    r"RANK|WORLD_SIZE|NODE_RANK|(LOCAL|GROUP|ROLE)_(RANK|WORLD_SIZE)|ROLE_NAME|MASTER_(ADDR|PORT)|"
    r"TORCHELASTIC_\w+|WAVLM_STORE_\w+"
)
POLL_SECONDS = 0.1
NO_NOTE = "-"  # in place of a pipe that leads to no other machine
# Less than the caller waits (wavlm.execution.launch). A checkpoint of a large model takes minutes on a slow disk.
STOP_SECONDS = 570.0
LOST_SECONDS = 120.0  # the same when a rank has failed: one that hangs would not stop at all
SIGNAL_EXIT = 128  # added to the number of a signal, as shells do


def main(arguments: Sequence[str]) -> None:
    """Run the trainer in this process, or start one process per rank. End with the parent process."""
    parent, processes, job, note = arguments
    tie_to_parent(signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(EXIT_STOPPED)  # the parent died before the call above
    if processes == "1":
        module = trainer_of(Path(job))
        sys.argv = [module, job, *(["--note", note] if note != NO_NOTE else [])]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return
    rank = [sys.executable, "-m", "wavlm.execution.supervisor", str(os.getpid()), "1", job, note]
    sys.exit(run_ranks(rank, int(processes), pass_fds=(int(note),)))


def run_ranks(command: Sequence[str], count: int, pass_fds: tuple[int, ...] = ()) -> int:
    """Run `count` ranks of one training; returns one exit code for all.

    If one fails, the others are asked to stop: they would wait for it. So they are if this process is.
    """
    with StopRequest() as stop:
        ranks = RankProcesses(start_ranks(command, count, pass_fds=pass_fds))
        try:
            while ranks.are_running:
                if stop.requested or ranks.has_failure:
                    ranks.stop()
                time.sleep(POLL_SECONDS)
        finally:
            ranks.kill()
    return choose_exit_code(ranks.codes)


def environment_without_ranks() -> dict[str, str]:
    """This process's environment without what it says of ranks.

    A single trainer that took itself for one of several would wait for them on all interfaces.
    """
    return {name: value for name, value in os.environ.items() if not _OF_RANKS.fullmatch(name)}


@dataclass(frozen=True)
class NodePlace:
    """Which machine this is among those of one training, and where their ranks meet."""

    node: int
    nodes: int
    meeting: Meeting
    listening: int | None  # the socket that rank 0 serves, on its machine


def start_ranks(
    command: Sequence[str],
    count: int,
    *,
    pass_fds: tuple[int, ...] = (),
    output: int | None = None,
    place: NodePlace | None = None,
) -> list[subprocess.Popen[bytes]]:
    """The processes of all ranks of this machine, the first one first. `output`: as `stdout` of `subprocess.Popen`.

    place: None if there is one machine. Then they meet on 127.0.0.1.
    """
    with socket.socket() as own, keep_signals():
        if place is None:
            own.bind(("127.0.0.1", 0))
            own.listen()
            place = NodePlace(0, 1, Meeting(host="127.0.0.1", port=own.getsockname()[1], token=""), own.fileno())
        return [_start_rank(command, (number, count), place, pass_fds, output) for number in range(count)]


def _start_rank(
    command: Sequence[str], local: tuple[int, int], place: NodePlace, pass_fds: tuple[int, ...], output: int | None
) -> subprocess.Popen[bytes]:
    number, count = local
    rank, meeting = place.node * count + number, place.meeting
    told: dict[str, str | int] = {
        "RANK": rank,
        "WORLD_SIZE": place.nodes * count,
        "LOCAL_RANK": number,
        "LOCAL_WORLD_SIZE": count,
    }
    told |= {STORE_HOST: meeting.host, STORE_PORT: meeting.port, STORE_TOKEN: meeting.token}
    if rank == 0 and place.listening is not None:
        told[STORE_SOCKET] = place.listening
        pass_fds = (*pass_fds, place.listening)
    return subprocess.Popen(  # noqa: S603 - our own interpreter and arguments, no shell
        command,
        env={**environment_without_ranks(), **{name: str(value) for name, value in told.items()}},
        pass_fds=pass_fds,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )


@dataclass
class RankProcesses:
    """Processes that end together."""

    processes: list[subprocess.Popen[bytes]]
    _stops_at: float | None = None
    _killed: set[int] = field(default_factory=set)

    @property
    def are_running(self) -> bool:
        codes = [process.poll() for process in self.processes]
        return None in codes

    @property
    def has_failure(self) -> bool:
        return any(process.returncode for process in self.processes)

    @property
    def codes(self) -> list[int]:
        """Exit codes, negative for a signal, of those that ended by themselves."""
        return [process.returncode for process in self.processes if process.pid not in self._killed]

    def stop(self) -> None:
        """Ask all to stop, once; kill who has not stopped in time. If one was lost, nobody saves with it any more."""
        now = time.monotonic()
        if self._stops_at is None:
            self._stops_at = now + (LOST_SECONDS if self.has_failure else STOP_SECONDS)
            for process in self.processes:
                process.terminate()
        elif now > self._stops_at:
            self.kill()

    def kill(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                self._killed.add(process.pid)
                process.kill()
                process.wait()


def choose_exit_code(codes: Sequence[int]) -> int:
    """The code that tells why a group of ranks ended, of the exit codes that `subprocess` gives.

    A rank whose neighbour dies fails too, as a bug would (1), so most others say more: first those of wavlm.errors,
    then a signal that nobody here sent, then 75, for which all ranks agreed. Stop signals come last: they are ours.
    """
    failures = [code for code in codes if code]
    if not failures:
        return 0 if codes else SIGNAL_EXIT + signal.SIGKILL  # none: all had to be killed
    return translate_signal(min(failures, key=_rank_of_reason))


def translate_signal(code: int) -> int:
    """An exit code as shells give it: 128 + n for signal n. A stop signal means stopped."""
    if -code in STOP_SIGNALS:
        return EXIT_STOPPED
    return code if code >= 0 else SIGNAL_EXIT - code


def _rank_of_reason(code: int) -> int:
    if -code in STOP_SIGNALS:
        return 4
    order = {EXIT_BUG: 3, EXIT_STOPPED: 2}
    return order.get(code, 0 if code > 0 else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
