"""Train a small job to its end in this process; what a run that was stopped or killed has to end with, too."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.train import fakes
from wavlm.engine.ranks import Ranks
from wavlm.execution import metrics
from wavlm.execution.job import TrainJob
from wavlm.execution.stop import StopRequest
from wavlm.storage.files import read_json, sha256_of
from wavlm.train import loop

ALONE = Ranks(0, 1, torch.device("cpu"))


def run(job: TrainJob, spoil: fakes.Spoil = lambda batch: batch) -> dict[str, object]:
    """Train to the end; the outcome."""
    job.out.mkdir(exist_ok=True)
    with StopRequest() as stop:
        loop.train(job, fakes.data(job, ALONE, spoil), ALONE, stop)
    return result(job.out)


def result(out: Path) -> dict[str, object]:
    """The final weights, the curve without what time it was, and what was mixed."""
    curve = [
        {name: value for name, value in record.items() if name not in metrics.TIMED}
        for record in metrics.read(out / "metrics.jsonl")
    ]
    counts = read_json(out / "training.json")["mixing"]
    return {"weights": sha256_of(out / "model.safetensors"), "curve": curve, "mixing": counts}
