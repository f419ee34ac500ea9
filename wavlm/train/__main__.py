"""Train one model: `python -m wavlm.train job.json`; over several machines the same module under torchrun.

Exit codes: 0 done (also if it was done before), 75 stopped on request, others as in wavlm.errors.
"""

from __future__ import annotations

import logging
import shutil
import sys

from wavlm.execution.job import TrainJob, read_job
from wavlm.execution.stop import StopRequest
from wavlm.execution.trainer_process import SayWhy, run_job, run_to_end
from wavlm.train.facts import is_finished

log = logging.getLogger("wavlm.train")


def main(arguments: list[str], stop: StopRequest) -> int:
    """Train as the job file says; returns the exit code."""
    return run_job("wavlm.train", arguments, read_job, lambda job, say_why: _train(job, stop, say_why), __doc__)


def _train(job: TrainJob, stop: StopRequest, say_why: SayWhy) -> None:
    if is_finished(job):
        log.info("already trained: %s", job.out)
        return
    # Imported here because torch takes seconds; a job that is already done does not need it.
    from wavlm.engine.attempt import begin_attempt
    from wavlm.loader.utterances import cache_of
    from wavlm.train.data import data_of
    from wavlm.train.loop import train

    with begin_attempt(job.out, job.runtime, stop, f"the model of {job.key}") as ranks:
        train(job, data_of(job, ranks), ranks, stop, say_why)
        if job.runtime.scratch and ranks.local_rank == 0:
            shutil.rmtree(cache_of(job), ignore_errors=True)


if __name__ == "__main__":
    with StopRequest() as requested:
        run_to_end(lambda: main(sys.argv[1:], requested))
