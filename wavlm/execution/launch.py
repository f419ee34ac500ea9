"""Start the trainer in its own process, follow its metrics, and stop it when the caller stops.

    run_trainer -> python -m wavlm.execution.launch PARENT PROCESSES JOB -> trainer, or torchrun with ranks

The process in the middle ends with its caller. If the caller dies for any reason, even by SIGKILL, the kernel
sends SIGTERM to the process in the middle, and the trainer saves a checkpoint and exits.
This module does not import torch.
"""

from __future__ import annotations

import logging
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from wavlm.errors import EXIT_STOPPED
from wavlm.execution.exit_note import read_exit_note, remove_exit_note
from wavlm.execution.job import read_job
from wavlm.execution.metrics import METRICS_FILE, MetricsRecord, parse_line, update_of
from wavlm.execution.processes import tie_to_parent
from wavlm.execution.runtime import Runtime

LOG = "train.log"
POLL_SECONDS = 0.2
# A checkpoint of a large model on a slow disk takes minutes. A trainer that hangs while it stops is ended
# earlier, by its own watchdog. torchrun 2.13 and later read their limit from this variable. Older ones give
# workers 30 s, and then the last checkpoint may be an earlier one.
STOP_SECONDS = 600.0
TORCHRUN_STOP_SECONDS = {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "570"}

log = logging.getLogger(__name__)


def run_trainer(
    job_path: Path,
    runtime: Runtime,
    on_record: Callable[[MetricsRecord], None],
    stop_requested: Callable[[], bool] = lambda: False,
) -> int:
    """Train as a job file says and return the trainer's exit code (0, 75 if stopped, ...).

    `on_record` gets each line of the job's metrics, each update once and in order. Lines of earlier
    attempts come first. The trainer's log is appended to `train.log` beside the metrics.

    If any exception interrupts this function, the trainer is asked to stop. It saves a checkpoint and has
    exited before the exception is raised further.
    """
    out = read_job(job_path).out
    out.mkdir(parents=True, exist_ok=True)
    remove_exit_note(out)
    tail = _MetricsTail(out / METRICS_FILE, on_record)
    with (out / LOG).open("ab") as log_file:
        trainer = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments, no shell
            command(job_path, runtime),
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            start_new_session=True,
        )
    try:
        while trainer.poll() is None:
            tail.poll()
            if stop_requested():
                _stop(trainer)
            time.sleep(POLL_SECONDS)
        tail.poll()
    finally:
        _stop(trainer)
    return _exit_code(out, trainer.returncode)


def command(job_path: Path, runtime: Runtime) -> list[str]:
    """The command line that `run_trainer` starts."""
    processes = runtime.gpus or runtime.processes or 1
    arguments = [str(os.getpid()), str(processes), str(job_path)]
    return [sys.executable, "-m", "wavlm.execution.launch", *arguments]


class _MetricsTail:
    """Passes on each complete line that is appended to the metrics file.

    A resumed trainer replaces the file by one that holds what its checkpoint says, and writes some updates again. They
    are not passed on twice. What was there before the trainer started is not passed on: nobody has checked it.
    """

    def __init__(self, path: Path, on_record: Callable[[MetricsRecord], None]) -> None:
        self._path = path
        self._on_record = on_record
        self._unchecked = path.stat().st_ino if path.exists() else 0
        self._inode = 0
        self._offset = 0
        self._last_update = 0

    def poll(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            if (inode := os.fstat(file.fileno()).st_ino) == self._unchecked:
                return
            if inode != self._inode:
                self._inode, self._offset = inode, 0
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # still being written
                self._offset += len(line)
                record = parse_line(line)
                if record and (update := update_of(record)) > self._last_update:
                    self._last_update = update
                    self._on_record(record)


def _stop(trainer: subprocess.Popen[bytes]) -> None:
    """Ask the trainer to save and exit; kill its whole session if it does not exit in time."""
    if trainer.poll() is None:
        trainer.terminate()
        try:
            trainer.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("the trainer did not stop within %.0f s: killed", STOP_SECONDS)
            os.killpg(trainer.pid, signal.SIGKILL)
            trainer.wait()


def _exit_code(out: Path, returned: int) -> int:
    """The trainer's own exit code. torchrun returns 1 for every failure, so the trainer writes its code to a file."""
    note = read_exit_note(out)
    if returned == 0 or note is None:
        return returned if returned >= 0 else 128 - returned
    return note.exit_code


def main(arguments: list[str]) -> None:
    """Run the trainer in this process, or torchrun if there are several ranks. End with the parent process."""
    parent, processes, job = arguments
    tie_to_parent(signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(EXIT_STOPPED)  # the parent died before the call above
    if processes == "1":
        sys.argv = ["wavlm.train", job]
        runpy.run_module("wavlm.train", run_name="__main__", alter_sys=True)
        return
    os.environ.update(TORCHRUN_STOP_SECONDS)
    sys.argv = [
        "torchrun",
        "--nnodes=1",
        f"--nproc-per-node={processes}",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=127.0.0.1:0",  # a free port
        "--local-addr=127.0.0.1",
        "--module",
        "wavlm.train",
        job,
    ]
    runpy.run_module("torch.distributed.run", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
