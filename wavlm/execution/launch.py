"""Start the trainer in its own process, follow its metrics, and stop it when the caller stops.

    run_trainer -> python -m wavlm.execution.supervisor PARENT PROCESSES JOB NOTE_FD -> trainer, or one per rank
    run_trainer -> python -m wavlm.execution.head PARENT JOB NOTE_FD -> one node per machine -> one trainer per rank

This module does not import torch.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wavlm.errors import Code
from wavlm.execution.exit_note import (
    ExitNote,
    find_exit_note,
    is_of_neighbour,
    receive_exit_notes,
    remove_exit_note,
)
from wavlm.execution.job import read_place
from wavlm.execution.meeting import Attempt
from wavlm.execution.metrics import METRICS_FILE, MetricsRecord, parse_line, update_of
from wavlm.execution.runtime import Runtime
from wavlm.execution.stop import keep_signals
from wavlm.execution.supervisor import SIGNAL_EXIT, environment_without_ranks, translate_signal

LOG = "train.log"
POLL_SECONDS = 0.2
# A checkpoint of a large model on a slow disk takes minutes. A trainer that hangs while it stops is ended
# earlier, by its own watchdog or by the supervisor.
STOP_SECONDS = 600.0

log = logging.getLogger(__name__)


def run_trainer(
    job_path: Path,
    runtime: Runtime,
    on_record: Callable[[MetricsRecord], None],
    stop_requested: Callable[[], bool] = lambda: False,
) -> ExitNote:
    """Train as a job file says; returns the trainer's exit code (0, 75 if stopped, ...) and its last words.

    `on_record` gets each line of the job's metrics, each update once and in order. Lines of earlier
    attempts come first. The trainer's log is appended to `train.log` beside the metrics. What was lost is begun again
    from the last checkpoint, as often as `runtime.restarts` says.

    If any exception interrupts this function, the trainer is asked to stop. It saves a checkpoint and has
    exited before the exception is raised further.
    """
    out = read_place(job_path).out
    out.mkdir(parents=True, exist_ok=True)
    tail = _MetricsTail(out / METRICS_FILE, on_record)
    ended = _run_once(job_path, runtime, tail, stop_requested)
    for left in reversed(range(runtime.restarts)):
        if not may_restart(ended, is_again=left + 1 < runtime.restarts) or stop_requested():
            break
        why = ended.message or f"a process ended with code {ended.exit_code}"
        log.warning("the training goes on from its last checkpoint, %d restarts are left: %s", left, why)
        ended = _run_once(job_path, runtime, tail, stop_requested)
    return ended


def join_training(out: Path) -> ExitNote | None:
    """Take a place in the training on several machines that goes on in a folder; None if there is none to take.

    Returns how its ranks here ended. If any exception interrupts this, they are asked to stop, and have ended.
    """
    attempt = Attempt.find(out)
    if attempt is None or not attempt.has_place(read_place(out / "job.json").runtime.nodes):
        return None
    log.info("this machine trains with the others, in %s", out)
    with (out / LOG).open("ab") as log_file, keep_signals():
        node = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments, no shell
            [sys.executable, "-m", "wavlm.execution.node", str(out / "job.json"), str(attempt.folder)],
            env=environment_without_ranks(),
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            start_new_session=True,
        )
    try:
        node.wait()
    finally:
        _stop(node)
    code = translate_signal(node.returncode)
    found = [note for note in find_exit_note(out) if note.exit_code == code]
    return next(iter(found), ExitNote(exit_code=code, message=""))


def may_restart(ended: ExitNote, *, is_again: bool = False) -> bool:
    """Whether a training was ended by what may not happen again: a process that is lost, or hung, or could not read.

    is_again: it was begun again after such an end. Then a machine that is to replace a lost one may still come.
    """
    is_killed, code = ended.exit_code > SIGNAL_EXIT, ended.message.partition(":")[0]
    return is_killed or code in (Code.HUNG, Code.RANK_LOST, Code.READ_LOST) or (is_again and code == Code.NODES_MISSING)


def _run_once(job_path: Path, runtime: Runtime, tail: _MetricsTail, stop_requested: Callable[[], bool]) -> ExitNote:
    out = read_place(job_path).out
    remove_exit_note(out)
    with _open_pipe() as (notes, send):
        trainer = _start(job_path, runtime, out / LOG, send)
        try:
            while trainer.poll() is None:
                tail.poll()
                if stop_requested():
                    _stop(trainer)
                time.sleep(POLL_SECONDS)
            tail.poll()
        finally:
            _stop(trainer)
        code = translate_signal(trainer.returncode)
        said = [*receive_exit_notes(notes), *find_exit_note(out)]
    of_code = sorted((note for note in said if note.exit_code == code), key=is_of_neighbour)
    return next(iter(of_code), ExitNote(exit_code=code, message=""))


@contextmanager
def _open_pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe: to read from, to write into."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def _start(job_path: Path, runtime: Runtime, log_path: Path, note: int) -> subprocess.Popen[bytes]:
    """The supervisor of the trainer, in a session of its own: an interrupt from the keyboard is for its caller."""
    with log_path.open("ab") as log_file, keep_signals():
        return subprocess.Popen(  # noqa: S603 - our own interpreter and arguments, no shell
            [*command(job_path, runtime), str(note)],
            env=environment_without_ranks(),
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            start_new_session=True,
            pass_fds=(note,),
        )


def command(job_path: Path, runtime: Runtime) -> list[str]:
    """The command line that `run_trainer` starts, without its last argument, a pipe."""
    if runtime.nodes > 1:
        return [sys.executable, "-m", "wavlm.execution.head", str(os.getpid()), str(job_path)]
    processes = runtime.gpus or runtime.processes or 1
    arguments = [str(os.getpid()), str(processes), str(job_path)]
    return [sys.executable, "-m", "wavlm.execution.supervisor", *arguments]


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
        log.info("the trainer stops: it saves its last snapshot first, for which it has %.0f s", STOP_SECONDS)
        trainer.terminate()
        try:
            trainer.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("the trainer did not stop within %.0f s: killed", STOP_SECONDS)
            os.killpg(trainer.pid, signal.SIGKILL)
            trainer.wait()
