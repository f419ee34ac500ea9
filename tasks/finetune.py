"""Fine-tune one system: launch the trainer, show its curve, seal what it made."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from pydantic import JsonValue

from tasks.orchestration.limits import GPU, hold_slot
from tasks.orchestration.progress_bar import show_progress
from tasks.orchestration.stage import say_outcome, stage_task
from tasks.orchestration.trainer import OnRecord, run_job_here
from tasks.orchestration.waiting import wait_out
from tasks.registry.following import feeding, follow_system
from wavlm.errors import BadDataError
from wavlm.execution.finetune_job import FinetuneJob
from wavlm.execution.runtime import Runtime
from wavlm.finetune.facts import FinetuneFacts, is_tuned, read_finetune
from wavlm.pipeline.artifacts import Finetune
from wavlm.pipeline.finetunes import job_of_system
from wavlm.pipeline.outcome import title_of
from wavlm.pipeline.store import Store

CURVES_FILE = "curves.png"


@stage_task
def finetune(artifact: Finetune, store: Store, runtime: Runtime) -> Path:
    """The system's folder. After a stop or a kill the next call continues from the last checkpoint.

    Raises StoppedError if the trainer was stopped; it has written a checkpoint by then.
    """

    def build(out: Path) -> FinetuneFacts:
        slot = hold_slot(GPU) if runtime.gpus else nullcontext()
        with slot, _show(artifact, store, runtime) as on_record:
            facts = _tune(job_of_system(artifact, store, runtime, out), on_record)
        from wavlm.pipeline.plots import plot_tuning

        plot_tuning(out, out / CURVES_FILE, f"{artifact.name} on {artifact.subject_name}")
        return facts

    folder = wait_out(lambda: store.make(artifact, build), runtime)
    say_outcome(artifact, store)
    return folder


def _tune(job: FinetuneJob, on_record: OnRecord) -> FinetuneFacts:
    run_job_here(job, on_record)
    facts = read_finetune(job.out)
    if not is_tuned(job):
        raise BadDataError(
            "CHECKSUM",
            f"a file is not what the trainer wrote; at {job.out}; run again: the system is written again from its last "
            "checkpoint",
        )
    return facts


@contextmanager
def _show(artifact: Finetune, store: Store, runtime: Runtime) -> Iterator[OnRecord]:
    """Show each record, the loss and the figures on the dev part, and send it to MLflow."""
    updates = sum(stage.updates for stage in artifact.spec.stages)
    started = time.time()
    with ExitStack() as stack:
        progress, show_detail = stack.enter_context(show_progress(title_of(artifact)))
        followed = follow_system(artifact, store, runtime.experiment) if runtime.tracking else None
        feed = stack.enter_context(feeding(followed)) if followed else None

        def on_record(record: Mapping[str, JsonValue]) -> None:
            if feed:
                feed(record)
            written = record.get("time_unix")
            if isinstance(written, float) and written < started:  # of an earlier attempt
                return
            names = [name for name in record if name.startswith("dev/")]
            shown = [("loss", record.get("train/loss")), *((name, record[name]) for name in names[:1])]
            show_detail(", ".join(f"{name} {value:.4g}" for name, value in shown if isinstance(value, float)))
            update = record["update"]
            progress(update if isinstance(update, int) else 0, updates)

        progress(0, updates)
        yield on_record
