"""Train one model: `python -m wavlm.train job.json`, or the same module under torchrun with several processes.

Exit codes: 0 done (also if it was done before), 75 stopped on request, others as in wavlm.errors.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from wavlm.errors import EXIT_LOCKED, EXIT_STOPPED, CodedError
from wavlm.execution.exit_note import ExitNote, remove_exit_note, write_exit_note
from wavlm.execution.job import TrainJob, read_job
from wavlm.storage.files import to_coded
from wavlm.storage.locks import hold_lock
from wavlm.train.facts import is_finished

LOCK = ".train.lock"

log = logging.getLogger("wavlm.train")


def main(arguments: list[str]) -> int:
    """Train as the job file says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m wavlm.train", description=__doc__)
    parser.add_argument("job", type=Path, help="a job file (see wavlm.execution.job.TrainJob)")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    try:
        job = read_job(parser.parse_args(arguments).job)
    except CodedError as error:
        log.error("%s", error)  # noqa: TRY400 - the message says what to do, the stack does not
        return error.exit_code
    code, message = _train(job)
    if code == 0:
        remove_exit_note(job.out)
        return code
    log.log(logging.INFO if code == EXIT_STOPPED else logging.ERROR, "%s", message)
    if job.out.is_dir() and code != EXIT_LOCKED:  # a locked folder belongs to another trainer
        write_exit_note(job.out, ExitNote(exit_code=code, message=message))
    return code


def _train(job: TrainJob) -> tuple[int, str]:
    """Exit code and message."""
    if is_finished(job):
        log.info("already trained: %s", job.out)
        return 0, ""
    # Imported here because torch takes seconds; a job that is already done does not need it.
    from wavlm.engine.interrupts import StopRequest
    from wavlm.engine.ranks import join_ranks
    from wavlm.train.data import data_of
    from wavlm.train.loop import train

    try:
        job.out.mkdir(parents=True, exist_ok=True)
        with StopRequest() as stop, join_ranks(job.runtime) as ranks, ExitStack() as held:
            lock = hold_lock(job.out / LOCK, f"the model of {job.key}")
            ranks.once(lambda: held.enter_context(lock))  # if it fails, all ranks raise the same error
            train(job, data_of(job, ranks), ranks, stop)
    except CodedError as error:
        return error.exit_code, str(error)
    except OSError as error:
        coded = to_coded(error)
        return coded.exit_code, str(coded)
    return 0, ""


def _end_process(code: int) -> NoReturn:
    """Exit; after a failure without Python's cleanup, which would wait for other ranks."""
    if code in (0, EXIT_STOPPED):
        sys.exit(code)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _end_process(main(sys.argv[1:]))
