"""Fine-tune one system: `python -m wavlm.finetune job.json`; over several machines the same module under torchrun.

Exit codes: 0 done (also if it was done before), 75 stopped on request, others as in wavlm.errors.
"""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack

from wavlm.errors import StoppedError
from wavlm.execution.finetune_job import FinetuneJob, read_finetune_job
from wavlm.execution.job import TRAIN_LOCK
from wavlm.execution.stop import StopRequest
from wavlm.execution.trainer_process import SayWhy, end_process, run_job
from wavlm.finetune.facts import is_tuned
from wavlm.storage.locks import hold_lock

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
    from wavlm.engine.ranks import join_ranks
    from wavlm.finetune.loop import tune

    job.out.mkdir(parents=True, exist_ok=True)
    with join_ranks(job.runtime) as ranks, ExitStack() as held:
        if ranks.any(stop.requested):
            raise StoppedError(
                "STOPPED", f"stopped on request before the first update; at {job.out}; run the same command to go on"
            )

        def leave() -> None:
            """Another trainer has taken this one for ended: two must not write into one folder."""
            stop.requested = True

        lock = hold_lock(job.out / TRAIN_LOCK, f"the system of {job.key}", leave)
        ranks.once(lambda: held.enter_context(lock))  # if it fails, all ranks raise the same error
        tune(job, ranks, stop, say_why)


if __name__ == "__main__":
    with StopRequest() as requested:
        end_process(main(sys.argv[1:], requested))
