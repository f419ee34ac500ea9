"""Processes: killed at any file event, or several at once, they end with the same model."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.numerics import relative_tolerance
from tests.train import fakes, pair
from tests.waiting import LIMIT_SECONDS
from wavlm.engine.ranks import Ranks
from wavlm.errors import EXIT_LOCKED
from wavlm.execution import metrics
from wavlm.execution.exit_note import EXIT_NOTE_FILE
from wavlm.execution.job import TRAIN_LOCK
from wavlm.execution.stop import StopRequest
from wavlm.storage.files import sha256_of
from wavlm.storage.locks import hold_lock
from wavlm.train.facts import read_training
from wavlm.train.loop import train

pytestmark = pytest.mark.numeric

ROOT = Path(__file__).parents[2]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **extra}


def start(*arguments: object, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.train.fakes", *map(str, arguments)],
        env=environment(**variables),
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.full
def test_killed_at_file_events_all_over_a_run_it_ends_with_the_same_bits(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    process = start("crash", tmp_path, 12)
    output, _ = process.communicate()
    assert process.returncode == 0
    kills = int(output)
    record_property("faults", kills)
    assert kills >= 5
    folders = sorted(tmp_path.glob("[0-9]*"))
    assert len(folders) == kills + 1  # the last one was not killed
    assert len({sha256_of(folder / "model.safetensors") for folder in folders}) == 1
    for folder in folders:
        assert [line["update"] for line in metrics.read(folder / "metrics.jsonl")] == [2, 3]


@pytest.mark.slow
def test_two_ranks_give_the_losses_of_one(tmp_path: Path) -> None:
    ranks = pair.start("tests.train.fakes", "train", tmp_path / "two")
    job, alone = fakes.job(tmp_path / "one"), Ranks(0, 1, torch.device("cpu"))
    job.out.mkdir()
    with StopRequest() as stop:
        train(job, fakes.data(job, alone), alone, stop)
    for rank in ranks:
        rank.communicate()
    assert [rank.returncode for rank in ranks] == [0, 0]
    one, two = (list(metrics.read(tmp_path / name / "metrics.jsonl")) for name in ("one", "two"))
    counts = [read_training(tmp_path / name).mixing for name in ("one", "two")]
    assert counts[0] is not None
    assert counts[0].utterances == 2 * 24
    assert counts[0] == counts[1]
    # They add the gradients of an update's four groups in another order: three additions, six times.
    for ours, theirs in zip(one, two, strict=True):
        for name in ours.keys() - metrics.TIMED:
            assert theirs[name] == pytest.approx(ours[name], rel=relative_tolerance(3 * 6)), name


@pytest.mark.slow
def test_a_model_that_somebody_else_trains_is_refused_by_all_ranks(tmp_path: Path) -> None:
    """The rank that asks for the lock alone would leave the other one waiting for it."""
    job = fakes.job(tmp_path / "out")
    path = tmp_path / "job.json"
    path.write_text(job.model_dump_json())
    with hold_lock(job.out / TRAIN_LOCK, "the model"):
        ranks = pair.start("wavlm.train", path)
        for rank in ranks:
            rank.communicate(timeout=LIMIT_SECONDS)
    assert [rank.returncode for rank in ranks] == [EXIT_LOCKED] * 2
    assert not (job.out / EXIT_NOTE_FILE).exists()
