"""The head of a training on several machines: it begins an attempt, holds its leash, and says how it ended.

    python -m wavlm.execution.head PARENT JOB NOTE_FD

It starts a node on every machine with the launcher of the runtime (such as `srun`), or else one on this machine: then
the others join by themselves, because they run the same recipe. It ends with its caller. No torch is imported.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from wavlm.errors import EXIT_STOPPED
from wavlm.execution.job import JobPlace, read_place
from wavlm.execution.meeting import BEAT_SECONDS, FOLDER, POLL_SECONDS, Attempt
from wavlm.execution.node import launcher_of
from wavlm.execution.processes import tie_to_parent
from wavlm.execution.stop import StopRequest, keep_signals
from wavlm.execution.supervisor import STOP_SECONDS, choose_exit_code, environment_without_ranks

ENDING_SECONDS = 60.0  # that the other machines get when the ranks of one have ended: they lose their connections


def main(arguments: Sequence[str]) -> int:
    """Hold one attempt from its begin to its end; returns one exit code for all machines."""
    parent, job_path, note = arguments
    tie_to_parent(signal.SIGTERM)
    if os.getppid() != int(parent):
        return EXIT_STOPPED  # the parent died before the call above
    job = read_place(Path(job_path))
    shutil.rmtree(job.out / FOLDER, ignore_errors=True)  # of attempts whose head was killed
    with StopRequest() as stop:
        attempt = Attempt.begin(job.out)
        try:
            process = _start(job, Path(job_path), attempt, int(note))
            codes = _hold(attempt, process, stop)
        finally:
            attempt.end()
    code = choose_exit_code(codes)
    shutil.rmtree(attempt.folder.parent, ignore_errors=True)
    return code


def _start(job: JobPlace, job_path: Path, attempt: Attempt, note: int) -> subprocess.Popen[bytes]:
    prefix = launcher_of(job)
    command = [*prefix, sys.executable, "-m", "wavlm.execution.node", str(job_path), str(attempt.folder)]
    if prefix:  # no descriptor goes to another machine; its signals are ours: nodes follow the leash
        with keep_signals():
            return subprocess.Popen(command, env=environment_without_ranks(), stdin=subprocess.DEVNULL)  # noqa: S603
    with keep_signals():
        return subprocess.Popen(  # noqa: S603 - our own interpreter and arguments, no shell
            [*command, str(note)], env=environment_without_ranks(), stdin=subprocess.DEVNULL, pass_fds=(note,)
        )


def _hold(attempt: Attempt, process: subprocess.Popen[bytes], stop: StopRequest) -> list[int]:
    """Beat until the nodes have ended; the exit codes of all that are known.

    A disk that fails ends nothing here: the nodes stop when the leash has not changed for too long.
    """
    beats, beaten_at, ends_at = 0, time.monotonic(), 0.0
    while process.poll() is None:
        now = time.monotonic()
        if ends_at and now > ends_at:
            process.kill()
        with suppress(OSError):
            if stop.requested and not ends_at:
                attempt.end()
                ends_at = now + STOP_SECONDS
            if not ends_at and any(attempt.ends()):
                attempt.end(failed=True)
                ends_at = now + ENDING_SECONDS
            if not ends_at and now - beaten_at >= BEAT_SECONDS:
                beats, beaten_at = beats + 1, now
                attempt.beat(beats)
        time.sleep(POLL_SECONDS)
    attempt.end()
    _await_ends(attempt, ends_at or time.monotonic() + ENDING_SECONDS)
    return [*attempt.ends(), *([process.returncode] if not attempt.ends() else [])]


def _await_ends(attempt: Attempt, until: float) -> None:
    """Wait until each machine that took a place has said how it ended: its ranks may still write."""
    while time.monotonic() < until and len(attempt.ends()) < len(list(attempt.folder.glob("node-*"))):
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
