"""Fine-tune one system: `python -m wavlm.finetune job.json`; over several machines the same module under torchrun.

Exit codes: 0 done (also if it was done before), 75 stopped on request, others as in wavlm.errors.
"""

from __future__ import annotations

import logging
import sys

from wavlm.execution.finetune_job import FinetuneJob, read_finetune_job
from wavlm.execution.stop import StopRequest
from wavlm.execution.trainer_process import SayWhy, run_job, run_to_end
from wavlm.finetune.facts import is_tuned

log = logging.getLogger("wavlm.finetune")


def main(arguments: list[str], stop: StopRequest) -> int:
    """Fine-tune as the job file says; returns the exit code."""
    return run_job(
        "wavlm.finetune", arguments, read_finetune_job, lambda job, say_why: _tune(job, stop, say_why), __doc__
    )


def _tune(job: FinetuneJob, stop: StopRequest, say_why: SayWhy) -> None:
    if is_tuned(job):
        log.info("already fine-tuned: %s", job.out)
        return
    # Imported here because torch takes seconds; a job that is already done does not need it.
    from wavlm.engine.attempt import begin_attempt
    from wavlm.finetune.loop import tune

    with begin_attempt(job.out, job.runtime, stop, f"the system of {job.key}") as ranks:
        tune(job, ranks, stop, say_why)


if __name__ == "__main__":
    with StopRequest() as requested:
        run_to_end(lambda: main(sys.argv[1:], requested))
