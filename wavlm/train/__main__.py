"""Train one model: `python -m wavlm.train job.json`; over several machines the same module under torchrun.

Exit codes: 0 done (also if it was done before), 75 stopped on request, others as in wavlm.errors.
"""

from __future__ import annotations

import logging
import resource
import shutil
import sys
from contextlib import ExitStack

from wavlm.errors import StoppedError
from wavlm.execution.job import TRAIN_LOCK, TrainJob, read_job
from wavlm.execution.stop import StopRequest
from wavlm.execution.trainer_process import SayWhy, end_process, run_job
from wavlm.storage.locks import hold_lock
from wavlm.train.facts import is_finished

MOST_FILES = 1 << 16

log = logging.getLogger("wavlm.train")


def main(arguments: list[str], stop: StopRequest) -> int:
    """Train as the job file says; returns the exit code."""
    return run_job("wavlm.train", arguments, read_job, lambda job, say_why: _train(job, stop, say_why), __doc__)


def _train(job: TrainJob, stop: StopRequest, say_why: SayWhy) -> None:
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


if __name__ == "__main__":
    with StopRequest() as requested:
        end_process(main(sys.argv[1:], requested))
