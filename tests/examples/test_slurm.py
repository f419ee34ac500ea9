"""The batch script for Slurm: a job that was stopped queues itself again, any other end is an end."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.waiting import LIMIT_SECONDS, wait_until

SCRIPT = Path(__file__).parents[2] / "examples" / "slurm" / "train.sbatch"
# In place of `wavlm run`: it notes how it is called, and ends as it is told, when it gets SIGTERM if that is 75.
WAVLM = """#!/bin/bash
echo "$@" > "$NOTES/called"
[ "$END" -ne 75 ] && exit "$END"
trap 'sleep 0.3; exit 75' TERM
touch "$NOTES/started"
while :; do sleep 0.05; done
"""
SCONTROL = """#!/bin/bash
echo "$@" > "$NOTES/requeue"
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with programs in the place of the real ones; what they are told is noted in it."""
    for name, text in (("wavlm", WAVLM), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    for name, value in (("NOTES", str(tmp_path)), ("SLURM_JOB_ID", "17"), ("SLURM_GPUS_ON_NODE", "4"), ("END", "75")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["bash", str(SCRIPT), *arguments], stdout=subprocess.DEVNULL)


def test_a_training_that_is_stopped_queues_again(cluster: Path) -> None:
    job = start("my recipe.yaml", "/shared/store", "--workers", "16")
    wait_until((cluster / "started").exists)
    job.send_signal(signal.SIGTERM)
    assert job.wait(LIMIT_SECONDS) == 0
    assert (cluster / "called").read_text().strip() == "run my recipe.yaml --store /shared/store --gpus 4 --workers 16"
    assert (cluster / "requeue").read_text().strip() == "requeue 17"


def test_several_nodes_train_together(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("END", "0")
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "4")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "32")
    assert start("my.yaml", "/shared/store", "--workers", "16").wait(LIMIT_SECONDS) == 0
    expected = (
        "run my.yaml --store /shared/store --gpus 4 --nodes 4 --restarts 3 "
        "--launcher srun --nodes=4 --ntasks=4 --ntasks-per-node=1 --cpus-per-task=32 --kill-on-bad-exit=0 --wait=0 "
        "--workers 16"
    )
    assert (cluster / "called").read_text().strip() == expected


def test_a_node_is_asked_for_one_task_and_no_number_of_tasks_is() -> None:
    """A job of `--nodes=4 --ntasks=1` would get one node, and train on it alone. Our launcher starts the ranks."""
    asked = [line.split()[1] for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")]
    assert "--ntasks-per-node=1" in asked
    assert not [option for option in asked if option.startswith(("--ntasks=", "-n"))]
    assert {"--requeue", "--open-mode=append", "--signal=B:TERM@300"} <= set(asked)


def test_a_training_that_is_always_stopped_ends_some_time(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "50")
    job = start("my.yaml", "/shared/store")
    wait_until((cluster / "started").exists)
    job.send_signal(signal.SIGTERM)
    assert job.wait(LIMIT_SECONDS) == 75
    assert not (cluster / "requeue").exists()


@pytest.mark.parametrize("code", [0, 1, 65, 73])
def test_any_other_end_is_the_end_of_the_job(cluster: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setenv("END", str(code))
    assert start("my.yaml", "/shared/store").wait(LIMIT_SECONDS) == code
    assert not (cluster / "requeue").exists()


def test_a_recipe_and_a_store_are_asked_for(cluster: Path) -> None:
    assert start().wait(LIMIT_SECONDS) != 0
    assert start("my.yaml").wait(LIMIT_SECONDS) != 0
    assert not (cluster / "called").exists()
