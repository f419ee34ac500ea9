"""Train one model: `python -m wavlm.train job.json`; over several machines the same module under torchrun.

Exit codes: 0 done (also if it was done before), 75 stopped on request, others as in wavlm.errors.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from wavlm.errors import EXIT_LOCKED, EXIT_STOPPED, CodedError, StoppedError
from wavlm.errors.boundary import code_errors
from wavlm.execution.exit_note import (
    ExitNote,
    find_exit_note,
    is_of_neighbour,
    remove_exit_note,
    send_exit_note,
    write_exit_note,
)
from wavlm.execution.job import TRAIN_LOCK, TrainJob, read_job
from wavlm.execution.stop import StopRequest
from wavlm.storage.locks import hold_lock
from wavlm.train.facts import is_finished

MOST_FILES = 1 << 16

log = logging.getLogger("wavlm.train")


def main(arguments: list[str], stop: StopRequest) -> int:
    """Train as the job file says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m wavlm.train", description=__doc__)
    parser.add_argument("job", type=Path, help="a job file (see wavlm.execution.job.TrainJob)")
    parser.add_argument("--note", type=int, metavar="FD", help="a pipe for the exit code and its message")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    given = parser.parse_args(arguments)
    job = None
    try:
        with code_errors(given.job.parent):
            job = read_job(given.job)
            _train(job, stop, partial(_say_why, pipe=given.note, job=job))
            remove_exit_note(job.out)
    except CodedError as error:
        _say_why(error, pipe=given.note, job=job)
        return error.exit_code
    return 0


def _say_why(error: CodedError, *, pipe: int | None, job: TrainJob | None) -> None:
    """Leave the error in the log, in the pipe and in the training's folder. A full disk stops none but the last.

    A rank that only lost another one does not take the place of what that one said.
    """
    log.log(logging.INFO if error.exit_code == EXIT_STOPPED else logging.ERROR, "%s", error)
    note = ExitNote(exit_code=error.exit_code, message=str(error))
    if pipe is not None:
        send_exit_note(pipe, note)
    if not job or not job.out.is_dir() or error.exit_code == EXIT_LOCKED:  # a locked folder belongs to another trainer
        return
    if not (is_of_neighbour(note) and find_exit_note(job.out)):
        with suppress(OSError):
            write_exit_note(job.out, note)


def _train(job: TrainJob, stop: StopRequest, say_why: Callable[[CodedError], None]) -> None:
    if is_finished(job):
        log.info("already trained: %s", job.out)
        return
    # Imported here because torch takes seconds; a job that is already done does not need it.
    from wavlm.engine.ranks import join_ranks
    from wavlm.loader.utterances import cache_of
    from wavlm.train.data import data_of
    from wavlm.train.loop import train

    job.out.mkdir(parents=True, exist_ok=True)
    _raise_limit()
    with join_ranks(job.runtime) as ranks, ExitStack() as held:
        if ranks.any(stop.requested):
            raise StoppedError(
                "STOPPED", f"stopped on request before the first update; at {job.out}; run the same command to go on"
            )

        def leave() -> None:
            """Another trainer has taken this one for ended: two must not write into one folder."""
            stop.requested = True

        lock = hold_lock(job.out / TRAIN_LOCK, f"the model of {job.key}", leave)
        ranks.once(lambda: held.enter_context(lock))  # if it fails, all ranks raise the same error
        train(job, data_of(job, ranks), ranks, stop, say_why)
        if job.runtime.scratch and ranks.local_rank == 0:
            shutil.rmtree(cache_of(job), ignore_errors=True)


def _raise_limit() -> None:
    """Allow as many open files as the system lets a user have: each tar that is read stays open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _end_process(code: int) -> NoReturn:
    """Exit; if not well, without Python's cleanup, which would wait for other ranks: 75 may be of this rank alone."""
    if code == 0:
        sys.exit(code)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    with StopRequest() as requested:
        _end_process(main(sys.argv[1:], requested))
