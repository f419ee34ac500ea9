"""training.json: what a finished training reports. Where it stands the model is whole.

Knows no torch, so that a job that is done is found done at once.
"""

from __future__ import annotations

from pydantic import JsonValue

from wavlm.execution.job import TrainJob
from wavlm.storage.files import read_json, write_json
from wavlm.train import metrics

SUMMARY = "training.json"


def is_finished(job: TrainJob) -> bool:
    """Whether this job's model is there."""
    path = job.out / SUMMARY
    return path.exists() and bool(read_json(path).get("key") == job.key)


def write(job: TrainJob, facts: dict[str, JsonValue]) -> None:
    """Write the facts beside the last value of each figure of the curve; call this last."""
    last_values: metrics.MetricsRecord = {}
    for record in metrics.read(job.out / metrics.METRICS):
        last_values |= {name: value for name, value in record.items() if "/" in name}
    write_json(job.out / SUMMARY, {**last_values, **facts})
