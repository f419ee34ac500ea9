"""The loader's worker processes: only the trainer ends them, by a signal or by its own end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.staircases import job_of, write_corpus
from tests.waiting import LIMIT_SECONDS, wait_until
from wavlm.execution.job import TrainJob
from wavlm.execution.runtime import Runtime


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    return job_of((write_corpus(tmp_path, "speech", 30),), tmp_path)


PROGRAM = """
import sys
from multiprocessing import active_children
from pathlib import Path
from wavlm.loader.loader import loader
from wavlm.loader.epochs import SamplerState
from wavlm.execution.job import read_job

def main():
    batches = loader(read_job(Path(sys.argv[1])), SamplerState())
    next(batches)
    print(*[child.pid for child in active_children()], flush=True)
    sys.stdin.readline()
    for _ in range(40):  # more than the workers have prepared
        next(batches)
    print("delivered", flush=True)
    raise RuntimeError("with a traceback that keeps the loader alive")

main()
"""


@pytest.fixture
def trainer(job: TrainJob, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has begun to load with two workers."""
    path = tmp_path / "job.json"
    path.write_text(job.model_copy(update={"runtime": Runtime(workers=2)}).model_dump_json())
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        yield process
        process.kill()


def worker_pids(trainer: subprocess.Popen[str]) -> list[int]:
    assert trainer.stdout is not None
    return [int(pid) for pid in trainer.stdout.readline().split()]


@pytest.mark.slow
def test_workers_die_with_their_parent(trainer: subprocess.Popen[str]) -> None:
    workers = worker_pids(trainer)
    assert len(workers) == 2
    trainer.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in workers), "the end of the workers")


@pytest.mark.slow
def test_only_the_trainer_ends_its_workers_and_it_does_so_at_its_exit(
    trainer: subprocess.Popen[str],
) -> None:
    workers = worker_pids(trainer)
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    output, errors = trainer.communicate("go on\n", timeout=LIMIT_SECONDS)
    assert output == "delivered\n"
    assert "keeps the loader alive" in errors
    assert trainer.returncode == 1
    assert not any(is_alive(pid) for pid in workers)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
