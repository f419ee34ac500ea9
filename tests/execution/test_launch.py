"""The trainer as a process: its metrics arrive, it stops on request, and it ends with its caller."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.mini_shards import tones, write_shards
from tests.numerics import relative_tolerance
from tests.sockets import watch_sockets
from tests.tiny_specs import tiny_network, tiny_training
from tests.waiting import wait_until
from wavlm.engine.checkpoint import list_checkpoints
from wavlm.errors import EXIT_BAD_DATA, EXIT_CANNOT_WRITE, EXIT_LOCKED, EXIT_STOPPED
from wavlm.execution.exit_note import ExitNote
from wavlm.execution.job import TRAIN_LOCK, LabelledShards, TrainJob
from wavlm.execution.launch import run_trainer
from wavlm.execution.metrics import MetricsRecord
from wavlm.execution.runtime import Runtime
from wavlm.labels.files import Header, write_labels
from wavlm.shards import read_index, read_listing
from wavlm.specs.frames import num_labels
from wavlm.storage.files import read_json, sha256_of, write_json

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.numeric, pytest.mark.slow]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> LabelledShards:
    """Tones, and labels that name the tone of each frame: they change every 5 frames of 20 ms."""
    folder = tmp_path_factory.mktemp("corpus")
    spoken = [*tones(12, seconds=1.0), *tones(4, 1, seconds=1.0, split="valid")]
    shards = write_shards(folder / "shards", spoken, per_shard=8)
    (folder / "labels").mkdir()
    index = read_index(shards)
    for shard, listed in read_listing(shards).items():
        rows = np.flatnonzero(index.shards == shard)
        labels = [(np.arange(num_labels(index.samples[row], 50)) // 5 % 2).astype(np.uint16) for row in rows]
        header = Header(listed.sha256, "0" * 64, '"hidden"', 50, 2)
        path = folder / "labels" / f"{Path(shard).stem}.parquet"
        write_labels(path, list(index.keys[rows]), labels, header)
    write_json(folder / "labels" / "labels.json", {})
    return LabelledShards(shards=shards, labels=folder / "labels")


def write_job(corpus: LabelledShards, out: Path, *, updates: int = 12, **runtime: object) -> Path:
    job = TrainJob(
        key="0123456789ab",
        out=out,
        network=tiny_network(position_kernel=8, position_groups=2),
        train=tiny_training(
            updates=updates,
            warmup_updates=4,
            peak_lr=5e-3,
            batch_seconds=4.0,
            group_seconds=2.0,
            log_every=1,
            valid_every=6,
        ),
        num_clusters=2,
        data=(corpus,),
        runtime=Runtime.model_validate({"workers": 1, "threads": 1, **runtime}),
    )
    out.mkdir()
    write_json(out / "job.json", job.model_dump(mode="json"))
    return out / "job.json"


def launch(job: Path, stop: Callable[[], bool] = lambda: False) -> tuple[ExitNote, list[MetricsRecord]]:
    records: list[MetricsRecord] = []
    runtime = Runtime.model_validate(read_json(job)["runtime"])
    return run_trainer(job, runtime, records.append, stop), records


def running(job: Path) -> list[int]:
    """Processes that have the job in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(job).encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue  # it ended meanwhile
    return found


@pytest.fixture(scope="module")
def finished(corpus: LabelledShards, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a training of 12 updates without an interruption."""
    job = write_job(corpus, tmp_path_factory.mktemp("unbroken") / "out")
    ending, records = launch(job)
    assert ending.exit_code == 0, (job.parent / "train.log").read_text()
    assert [record["update"] for record in records] == list(range(1, 13))
    return job


def test_second_run_of_a_finished_job_has_nothing_to_do(finished: Path) -> None:
    before = sha256_of(finished.parent / "model.safetensors")
    ending, records = launch(finished)
    assert ending.exit_code == 0
    assert records == []  # the trainer has not written its curve again, and nobody else has checked it
    assert "already trained" in (finished.parent / "train.log").read_text()
    assert sha256_of(finished.parent / "model.safetensors") == before


def test_stopped_trainer_says_75_and_goes_on_to_the_same_model(
    corpus: LabelledShards, finished: Path, tmp_path: Path
) -> None:
    job = write_job(corpus, tmp_path / "out")
    assert launch(job, (job.parent / "metrics.jsonl").exists)[0].exit_code == EXIT_STOPPED
    assert not (job.parent / "model.safetensors").exists()
    ending, records = launch(job)
    assert ending.exit_code == 0
    assert [record["update"] for record in records] == list(range(1, 13))
    models = [sha256_of(folder / "model.safetensors") for folder in (job.parent, finished.parent)]
    assert models[0] == models[1]


@pytest.mark.full
def test_two_processes_stop_with_75_and_finish_later(corpus: LabelledShards, finished: Path, tmp_path: Path) -> None:
    job = write_job(corpus, tmp_path / "out", processes=2)
    with watch_sockets() as sockets:
        ending, _ = launch(job, (job.parent / "metrics.jsonl").exists)
    assert len(sockets.loopback) >= 3, "the store of rank 0, and a socket of gloo per rank"
    assert not sockets.elsewhere
    assert ending.exit_code == EXIT_STOPPED
    assert ending.message == read_json(job.parent / "exit.json")["message"]
    assert ending.message.startswith("STOPPED")
    ending, records = launch(job)
    assert ending.exit_code == 0, (job.parent / "train.log").read_text()
    assert [record["update"] for record in records] == list(range(1, 13))
    assert not running(job)
    alone, together = (read_json(j.parent / "training.json") for j in (finished, job))
    assert (alone["processes"], together["processes"]) == (1, 2)
    # Ranks add the gradients of an update's two groups with an averaging: three operations, 12 times.
    assert together["valid/loss"] == pytest.approx(alone["valid/loss"], rel=relative_tolerance(3 * 12))


def test_a_stop_while_the_ranks_are_being_imported_is_a_stop(corpus: LabelledShards, tmp_path: Path) -> None:
    """A signal in the first moments would end a process as signals do by default, or with a KeyboardInterrupt."""
    job = write_job(corpus, tmp_path / "out", updates=5000, processes=2)
    ending, records = launch(job, lambda: True)
    assert ending.exit_code == EXIT_STOPPED
    assert ending.message.startswith("STOPPED: stopped on request before the first update")
    assert not records
    assert not running(job)
    assert "Traceback" not in (job.parent / "train.log").read_text()


def test_a_rank_that_is_killed_ends_all_and_is_named(corpus: LabelledShards, tmp_path: Path) -> None:
    """Its neighbour fails too, as if it had a bug; torchrun says 1 for everything."""
    job = write_job(corpus, tmp_path / "out", updates=5000, processes=2)
    killed = set()

    def kill_rank_0() -> bool:
        if (job.parent / "metrics.jsonl").exists() and not killed:
            killed.add(read_json(job.parent / f"{TRAIN_LOCK}.owner")["pid"])  # rank 0 holds the lock
            os.kill(*killed, signal.SIGKILL)
        return False

    ending, _ = launch(job, kill_rank_0)
    assert ending.exit_code == 128 + signal.SIGKILL
    assert not running(job)


# The disk is full from the second checkpoint on: no file takes another byte. A pipe does.
FULL_DISK = """
import resource, sys
from wavlm.engine import checkpoint
from wavlm.execution.supervisor import main

write = checkpoint.write

def write_until_full(folder, files, state, keep):
    if state.update == 8:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    return write(folder, files, state, keep)

checkpoint.write = write_until_full
main(sys.argv[1:])
"""


def test_a_disk_that_is_full_in_the_middle_is_said_and_the_next_run_ends_with_the_same_model(
    corpus: LabelledShards, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = write_job(corpus, tmp_path / "out", snapshot_every=4)
    arguments = [str(os.getpid()), "1", str(job)]
    with monkeypatch.context() as patch:
        patch.setattr("wavlm.execution.launch.command", lambda *_: [sys.executable, "-c", FULL_DISK, *arguments])
        ending, records = launch(job)
    assert ending.exit_code == EXIT_CANNOT_WRITE, (job.parent / "train.log").read_text()
    assert ending.message.startswith("DISK_FULL: ")
    assert "free" in ending.message
    assert not running(job)
    assert not (job.parent / "training.json").exists()
    assert [path.name for path in list_checkpoints(job.parent / "snapshots")] == ["step-000000004"]
    told = [record["update"] for record in records]
    assert told == list(range(1, len(told) + 1))

    ending, records = launch(job)
    assert ending.exit_code == 0, (job.parent / "train.log").read_text()
    assert [record["update"] for record in records] == list(range(1, 13))
    models = [sha256_of(folder / "model.safetensors") for folder in (job.parent, finished.parent)]
    assert models[0] == models[1]


def test_error_code_and_message_come_through(corpus: LabelledShards, tmp_path: Path) -> None:
    nowhere = LabelledShards(shards=corpus.shards, labels=tmp_path / "none")
    job = write_job(nowhere, tmp_path / "out")
    ending, _ = launch(job)
    assert ending.exit_code == EXIT_BAD_DATA
    assert ending.message == read_json(job.parent / "exit.json")["message"]
    assert ending.message.startswith("LABEL_MISMATCH")
    assert str(tmp_path / "none") in ending.message


@pytest.mark.parametrize("processes", [1, 2])
def test_nothing_outlives_a_caller_that_is_killed(corpus: LabelledShards, tmp_path: Path, processes: int) -> None:
    job = write_job(corpus, tmp_path / "out", updates=5000, processes=processes)
    program = (
        "import pathlib, sys\n"
        "from wavlm.execution.job import read_job\n"
        "from wavlm.execution.launch import run_trainer\n"
        "job = pathlib.Path(sys.argv[1])\n"
        "run_trainer(job, read_job(job).runtime, lambda _: None)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(job)], cwd=ROOT) as caller:
        wait_until((job.parent / "metrics.jsonl").exists, "the first metrics")
        if processes == 1:
            assert_second_trainer_is_refused(job)
        os.kill(caller.pid, signal.SIGKILL)
    wait_until(lambda: not running(job), "the end of all that the killed caller started")
    assert list((job.parent / "snapshots").glob("step-*")), "it saved before it left"


def assert_second_trainer_is_refused(job: Path) -> None:
    command = [sys.executable, "-m", "wavlm.train", str(job)]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert second.returncode == EXIT_LOCKED
    assert "LOCKED" in second.stderr
