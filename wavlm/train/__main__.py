"""`python -m wavlm.train job.json`: train one model. Under torchrun: with several processes.

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

from wavlm.errors import EXIT_CANNOT_WRITE, EXIT_LOCKED, EXIT_STOPPED, EXIT_USAGE, CodedError
from wavlm.execution.job import TrainJob, read_job
from wavlm.storage.files import CannotWriteError, write_json
from wavlm.storage.locks import hold_lock
from wavlm.train.summary import is_finished

LOCK, EXIT_NOTE = ".train.lock", "exit.json"

log = logging.getLogger("wavlm.train")


def main(arguments: list[str]) -> int:
    """Train as the job file says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m wavlm.train", description=__doc__)
    parser.add_argument("job", type=Path, help="a job file (see wavlm.execution.job.TrainJob)")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    try:
        job = read_job(parser.parse_args(arguments).job)
    except (OSError, ValueError) as error:
        log.error("%s", error)  # noqa: TRY400 - what to do stands in the message, not in the stack
        return EXIT_USAGE
    code, message = _train(job)
    note = job.out / EXIT_NOTE
    if code == 0:
        note.unlink(missing_ok=True)
        return code
    log.log(logging.INFO if code == EXIT_STOPPED else logging.ERROR, "%s", message)
    if job.out.is_dir() and code != EXIT_LOCKED:  # a locked folder is another trainer's
        # torchrun turns every failure into 1; whoever started it finds the code here.
        write_json(note, {"exit_code": code, "message": message})
    return code


def _train(job: TrainJob) -> tuple[int, str]:
    if is_finished(job):
        log.info("already trained: %s", job.out)
        return 0, ""
    # torch takes seconds to import; what is done is found done without it.
    from wavlm.train.data import data_of
    from wavlm.train.interrupts import StopRequest
    from wavlm.train.loop import train
    from wavlm.train.ranks import join_ranks

    try:
        job.out.mkdir(parents=True, exist_ok=True)
        with StopRequest() as stop, join_ranks(job.runtime) as ranks, ExitStack() as held:
            alone = hold_lock(job.out / LOCK, f"the model of {job.key}")
            ranks.once(lambda: held.enter_context(alone))  # on all ranks the same error
            train(job, data_of(job, ranks), ranks, stop)
    except CodedError as error:
        return error.exit_code, str(error)
    except CannotWriteError as error:
        return EXIT_CANNOT_WRITE, str(error)
    return 0, ""


def _end_process(code: int) -> NoReturn:
    """Exit; after a failure at once, since Python at its end would take leave of other ranks."""
    if code in (0, EXIT_STOPPED):
        sys.exit(code)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _end_process(main(sys.argv[1:]))
