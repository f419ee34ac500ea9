"""Train a small job to its end in this process; what a run that was stopped or killed has to end with, too."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import torch

from tests.kill import in_child
from tests.train import fakes, pair
from wavlm.engine.ranks import Ranks
from wavlm.execution import metrics
from wavlm.execution.job import TrainJob
from wavlm.execution.stop import StopRequest
from wavlm.storage.files import read_json, sha256_of
from wavlm.train import loop
from wavlm.train.facts import is_finished

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


def check_two_ranks_and_killed(kind: str, killed: TrainJob, two: Path, unbroken: dict[str, object]) -> None:
    """Two ranks, and a training that is killed and goes on, end with the bytes of one that nobody disturbed.

    kind: of the job, as `python -m tests.train.fakes` knows it. two: the folder of the two ranks.
    """
    ranks = pair.start("tests.train.fakes", kind, two)
    for rank in ranks:
        rank.communicate()
    assert [rank.returncode for rank in ranks] == [0, 0]
    assert in_child(partial(fakes.run, killed), kill_at=40) == signal.SIGKILL
    assert not is_finished(killed)
    fakes.run(killed)
    assert result(killed.out) == unbroken
    by_two = result(two)
    assert by_two["weights"] == unbroken["weights"]
    assert by_two["curve"] == unbroken["curve"]
