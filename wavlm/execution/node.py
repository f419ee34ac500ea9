"""One machine of a training on several: takes a place, meets the others, and holds its ranks together.

    python -m wavlm.execution.node JOB ATTEMPT [NOTE_FD]

A launcher such as `srun` starts it on every machine; without one, each machine that runs the same recipe does. It stops
its ranks, which save a checkpoint, when the head of the attempt does not hold its leash any more. No torch is imported.
"""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from wavlm.errors import EXIT_STOPPED
from wavlm.execution.exit_note import find_exit_note
from wavlm.execution.job import JobPlace, read_place
from wavlm.execution.meeting import POLL_SECONDS, Attempt, Leash, Meeting, find_address
from wavlm.execution.processes import tie_to_parent
from wavlm.execution.runtime import TORCHRUN
from wavlm.execution.stop import StopRequest, keep_signals
from wavlm.execution.supervisor import (
    NO_NOTE,
    NodePlace,
    RankProcesses,
    choose_exit_code,
    environment_without_ranks,
    start_ranks,
)

LOST_RANKS_SECONDS = 30.0  # that ranks get to end when one is lost: they have nothing to save together
MEETING_SECONDS = 600.0  # until rank 0 listens: a machine may start later than the others


def main(arguments: Sequence[str]) -> int:
    """Train on this machine; returns one exit code for its ranks."""
    tie_to_parent(signal.SIGTERM)
    job_path, attempt, *note = arguments
    return run_node(Path(job_path), Attempt(Path(attempt)), tuple(map(int, note)))


def run_node(job_path: Path, attempt: Attempt, note: tuple[int, ...] = ()) -> int:
    """Take a place of the attempt, and run the ranks of this machine. 75 if no place is left."""
    job = read_place(job_path)
    is_guest = not note and not launcher_of(job)  # rank 0 is on the machine of the head, whose address may be given
    node = attempt.take_place(job.runtime.nodes, int(is_guest))
    if node is None:
        return EXIT_STOPPED
    with StopRequest() as stop, socket.socket() as listening:
        leash = Leash(attempt)
        meeting = _call_meeting(job, attempt, listening) if node == 0 else _await_meeting(attempt, leash, stop)
        code = EXIT_STOPPED
        if meeting is not None:
            place = NodePlace(node, job.runtime.nodes, meeting, listening.fileno() if node == 0 else None)
            code = _run_ranks(job_path, job, place, (leash, stop), note)
    attempt.note_end(node, code)
    return code


def _call_meeting(job: JobPlace, attempt: Attempt, listening: socket.socket) -> Meeting:
    """Listen on one address of this machine and no other, and say which."""
    host = job.runtime.address or find_address()
    listening.bind((host, 0))
    if not _is_torchrun(job):
        listening.listen()
    meeting = Meeting(host=host, port=listening.getsockname()[1], token=secrets.token_hex(16))
    if _is_torchrun(job):
        listening.close()  # torchrun makes its own
    attempt.call(meeting)
    return meeting


def _await_meeting(attempt: Attempt, leash: Leash, stop: StopRequest) -> Meeting | None:
    """Where rank 0 listens; None if nobody wants that any more."""
    began = time.monotonic()
    while leash.holds and not stop.requested and time.monotonic() - began < MEETING_SECONDS:
        if (meeting := attempt.find_meeting()) is not None:
            return meeting
        time.sleep(POLL_SECONDS)
    return None


def _run_ranks(
    job_path: Path, job: JobPlace, place: NodePlace, until: tuple[Leash, StopRequest], note: tuple[int, ...]
) -> int:
    leash, stop = until
    ranks, lost_at = RankProcesses(_start(job_path, job, place, note)), 0.0
    try:
        while ranks.are_running:
            if stop.requested or ranks.has_failure or not leash.holds:
                ranks.stop()
            if ranks.has_failure or leash.attempt.has_failed:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > LOST_RANKS_SECONDS:
                    ranks.kill()
            time.sleep(POLL_SECONDS)
    finally:
        ranks.kill()
    if not ranks.codes and leash.attempt.has_failed:
        return EXIT_STOPPED  # ranks that hung when another machine was lost: it says why
    code = choose_exit_code(ranks.codes)
    if code and _is_torchrun(job):  # which turns every failure into 1
        said = find_exit_note(job.out)
        return said[0].exit_code if said else code
    return code


def _start(job_path: Path, job: JobPlace, place: NodePlace, note: tuple[int, ...]) -> list[subprocess.Popen[bytes]]:
    processes = job.runtime.gpus or job.runtime.processes or 1
    if not _is_torchrun(job):
        pipe = str(note[0]) if note else NO_NOTE
        rank = [sys.executable, "-m", "wavlm.execution.supervisor", str(os.getpid()), "1", str(job_path), pipe]
        return start_ranks(rank, processes, pass_fds=note, place=place)
    command = [
        sys.executable, "-m", "torch.distributed.run", f"--nnodes={place.nodes}", f"--nproc-per-node={processes}",
        f"--node-rank={place.node}", f"--master-addr={place.meeting.host}", f"--master-port={place.meeting.port}",
        "--max-restarts=0", "-m", job.trainer, str(job_path),
    ]  # fmt: skip
    with keep_signals():
        return [subprocess.Popen(command, env=environment_without_ranks(), stdin=subprocess.DEVNULL)]  # noqa: S603


def launcher_of(job: JobPlace) -> list[str]:
    """The words that start a program on every machine; none if the same command runs on each."""
    words = shlex.split(job.runtime.launcher)
    return words[:-1] if words[-1:] == [TORCHRUN] else words


def _is_torchrun(job: JobPlace) -> bool:
    """Whether torchrun starts the ranks of a machine, and not we. Its store listens on all interfaces."""
    return shlex.split(job.runtime.launcher)[-1:] == [TORCHRUN]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
