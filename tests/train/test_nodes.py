"""Two to four "machines" on this one: they meet on one address, train one model, stop together, and name a hang.

Each is a node with ranks of its own over gloo, as `srun` or the same command on every machine would start it.
"""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.numerics import relative_tolerance
from tests.sockets import watch_sockets
from tests.staircases import job_of, write_corpus
from tests.tiny_specs import tiny_training
from tests.waiting import LIMIT_SECONDS, wait_until
from wavlm.execution import metrics
from wavlm.execution.exit_note import ExitNote
from wavlm.execution.job import LabelledShards, TrainJob
from wavlm.execution.launch import LOG, join_training, run_trainer
from wavlm.execution.meeting import FOLDER, Attempt
from wavlm.execution.runtime import Runtime
from wavlm.storage.files import sha256_of

pytestmark = pytest.mark.numeric
ROOT = Path(__file__).parents[2]
UPDATES = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelledShards, ...]:
    return (write_corpus(tmp_path_factory.mktemp("nodes"), "first", 40),)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def launcher(count: int) -> str:
    return f"{sys.executable} -m tests.train.several {count}"


def make(data: tuple[LabelledShards, ...], out: Path, updates: int = UPDATES, **runtime: Any) -> TrainJob:
    chosen = {"threads": 1, "workers": 0, "snapshot_every": 2, "address": "127.0.0.1", **runtime}
    train = tiny_training(updates=updates, max_crop_seconds=2.5, valid_every=3, log_every=1)
    made = job_of(data, out, train=train, runtime=Runtime(**chosen))
    out.mkdir(parents=True, exist_ok=True)
    (out / "job.json").write_text(made.model_dump_json())
    return made


def run(made: TrainJob, **more: Any) -> ExitNote:
    return run_trainer(made.out / "job.json", made.runtime, lambda _: None, **more)


def log_of(made: TrainJob) -> str:
    return (made.out / LOG).read_text()


@pytest.fixture(scope="module")
def one_machine(data: tuple[LabelledShards, ...], tmp_path_factory: pytest.TempPathFactory) -> TrainJob:
    made = make(data, tmp_path_factory.mktemp("one") / "out", processes=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_NUM_THREADS", "1")
        assert run(made).exit_code == 0, log_of(made)
    return made


@pytest.mark.full
def test_two_machines_make_the_model_of_two_ranks_of_one(
    data: tuple[LabelledShards, ...], tmp_path: Path, one_machine: TrainJob
) -> None:
    made = make(data, tmp_path / "out", nodes=2, processes=1, launcher=launcher(2))
    assert run(made) == ExitNote(exit_code=0, message=""), log_of(made)
    assert sha256_of(made.out / "model.safetensors") == sha256_of(one_machine.out / "model.safetensors")
    assert not (made.out / FOLDER).exists()


@pytest.mark.full
def test_torchrun_may_start_the_ranks_of_each_machine(
    data: tuple[LabelledShards, ...], tmp_path: Path, one_machine: TrainJob
) -> None:
    made = make(data, tmp_path / "out", nodes=2, processes=1, launcher=f"{launcher(2)} torchrun")
    assert run(made).exit_code == 0, log_of(made)
    assert sha256_of(made.out / "model.safetensors") == sha256_of(one_machine.out / "model.safetensors")


@pytest.mark.full
def test_four_machines_go_on_where_two_ranks_stopped_with_the_same_samples(
    data: tuple[LabelledShards, ...], tmp_path: Path, one_machine: TrainJob
) -> None:
    stopping = make(data, tmp_path / "out", processes=2)
    seen = list[int]()

    def see(record: Any) -> None:
        seen.append(record["update"])

    ended = run_trainer(stopping.out / "job.json", stopping.runtime, see, lambda: bool(seen))
    assert ended.exit_code == 75, log_of(stopping)
    made = make(data, tmp_path / "out", nodes=4, processes=1, launcher=launcher(4))
    assert run(made).exit_code == 0, log_of(made)
    ours, theirs = (list(metrics.read(job.out / metrics.METRICS_FILE)) for job in (made, one_machine))
    assert [record["update"] for record in ours] == [record["update"] for record in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        for name in other.keys() - metrics.TIMED:
            assert mine[name] == pytest.approx(other[name], rel=relative_tolerance(3 * UPDATES)), name


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that these have started (Linux)."""
    children = list[int]()
    with suppress(FileNotFoundError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (thread / "children").read_text().split())
    return [found for child in children for found in (child, *descendants(child))]


def command_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def ranks_of(made: TrainJob) -> list[int]:
    """The trainers of a job, by process: each is a supervisor of one rank."""
    path = str(made.out / "job.json")
    found = descendants(os.getpid())
    return [pid for pid in found if "wavlm.execution.supervisor" in (words := command_of(pid)) and path in words]


@pytest.mark.full
def test_machines_that_run_the_same_command_find_each_other_and_stop_together(
    data: tuple[LabelledShards, ...], tmp_path: Path
) -> None:
    """Without a launcher: the second machine finds the attempt in the folder. Nothing listens but on one address."""
    made = make(data, tmp_path / "out", updates=10_000, nodes=2, processes=1)
    joined, seen = list[Future[ExitNote | None]](), list[int]()

    def see(record: Any) -> None:
        seen.append(record["update"])

    def join_then_stop() -> bool:
        if Attempt.find(made.out) and not joined:
            joined.append(pool.submit(join_training, made.out))
        return bool(seen)

    with watch_sockets() as sockets, ThreadPoolExecutor() as pool:
        ended = run_trainer(made.out / "job.json", made.runtime, see, join_then_stop)
        assert joined[0].result(LIMIT_SECONDS) == ended
    assert join_training(made.out) is None
    assert ended.exit_code == 75, log_of(made)
    assert ended.message.startswith("STOPPED: ")
    assert list((made.out / "snapshots").glob("step-*"))
    assert sockets.loopback
    assert not sockets.elsewhere


@pytest.mark.full
def test_a_rank_that_is_killed_ends_the_attempt_and_the_next_one_goes_on(
    data: tuple[LabelledShards, ...], tmp_path: Path, one_machine: TrainJob
) -> None:
    made = make(data, tmp_path / "out", nodes=2, processes=1, launcher=launcher(2), restarts=1)
    killed = list[int]()

    def kill_once(record: Any) -> None:
        if record["update"] >= 3 and not killed:
            killed.append(ranks_of(made)[-1])
            os.kill(killed[0], signal.SIGKILL)

    ended = run_trainer(made.out / "job.json", made.runtime, kill_once)
    assert killed
    assert ended.exit_code == 0, log_of(made)
    assert sha256_of(made.out / "model.safetensors") == sha256_of(one_machine.out / "model.safetensors")


@pytest.mark.full
def test_a_machine_that_is_lost_is_replaced_by_the_next_one_that_runs_the_same_command(
    data: tuple[LabelledShards, ...], tmp_path: Path, one_machine: TrainJob
) -> None:
    """As a Job of Kubernetes starts another pod. What was lost is a node with its ranks, without a last word."""
    made = make(data, tmp_path / "out", nodes=2, processes=1, restarts=1)
    joined, lost = list[Future[ExitNote | None]](), list[int]()

    def lose(record: Any) -> None:
        if record["update"] >= 3 and not lost:
            (head,) = (pid for pid in descendants(os.getpid()) if "wavlm.execution.head" in command_of(pid))
            of_head = descendants(head)
            nodes = [pid for pid in descendants(os.getpid()) if "wavlm.execution.node" in command_of(pid)]
            (other,) = (pid for pid in nodes if pid not in of_head)
            lost.extend([other, *descendants(other)])
            for pid in lost:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def join() -> ExitNote | None:
        wait_until(lambda: (attempt := Attempt.find(made.out)) is not None and attempt.has_place(2))
        return join_training(made.out)

    def look() -> bool:
        if len(joined) == len(lost[:1]) and Attempt.find(made.out):
            joined.append(pool.submit(join))
        return False

    with ThreadPoolExecutor() as pool:
        ended = run_trainer(made.out / "job.json", made.runtime, lose, look)
        codes = [note.exit_code if (note := one.result(LIMIT_SECONDS)) else None for one in joined]
    assert ended.exit_code == 0, log_of(made)
    assert codes == [137, 0]
    assert sha256_of(made.out / "model.safetensors") == sha256_of(one_machine.out / "model.safetensors")


@pytest.mark.full
def test_a_head_that_is_killed_stops_all_machines(data: tuple[LabelledShards, ...], tmp_path: Path) -> None:
    made = make(data, tmp_path / "out", updates=10_000, nodes=2, processes=1, launcher=launcher(2))
    attempt_pids = list[int]()

    def kill_head(record: Any) -> None:
        if record["update"] >= 1 and not attempt_pids:
            attempt_pids.extend(ranks_of(made))
            (head,) = (pid for pid in descendants(os.getpid()) if "wavlm.execution.head" in command_of(pid))
            attempt = Attempt.find(made.out)
            assert attempt is not None
            os.kill(head, signal.SIGKILL)
            attempt.end()  # as if the minutes had passed after which a leash without a beat is lost

    assert run_trainer(made.out / "job.json", made.runtime, kill_head).exit_code == 137
    assert len(attempt_pids) == 2
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in attempt_pids))
    assert list((made.out / "snapshots").glob("step-*"))


SHORT_STEPS = """
import os
if "LOCAL_RANK" in os.environ:
    from wavlm.engine import interrupts
    interrupts.STEP_TIMEOUT_S = 12.0
"""


@pytest.mark.full
def test_a_rank_that_hangs_is_named_with_its_utterances(
    data: tuple[LabelledShards, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped by a signal, as by a driver that never returns. The others say so, and it is not waited for."""
    made = make(data, tmp_path / "out", updates=10_000, nodes=2, processes=1, launcher=launcher(2))
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(SHORT_STEPS)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{hooks}")
    stopped = list[int]()

    def stop_one(record: Any) -> None:
        if record["update"] >= 3 and not stopped:
            stopped.append(ranks_of(made)[-1])
            os.kill(stopped[0], signal.SIGSTOP)

    try:
        ended = run_trainer(made.out / "job.json", made.runtime, stop_one)
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert ended.exit_code == 75
    assert ended.message.startswith("HUNG: ")
    assert "micro-batch" in ended.message
    assert "first-0" in ended.message


FAILING_DISK = """
import os
if "LOCAL_RANK" in os.environ and os.environ["LOCAL_RANK"] == "1":
    from wavlm.storage import passing
    passing.PATIENCE_SECONDS = 0.1
    reads, whole = [0], os.pread
    def pread(*arguments):
        reads[0] += 1
        if reads[0] > 100:
            raise OSError(116, "Stale file handle")
        return whole(*arguments)
    os.pread = pread
"""


@pytest.mark.full
def test_a_rank_that_cannot_read_ends_all_with_the_code_for_try_again(
    data: tuple[LabelledShards, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its neighbour says that it lost it, without a traceback, and does not take the place of the cause."""
    made = make(data, tmp_path / "out", updates=10_000, processes=2)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(FAILING_DISK)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{hooks}")
    ended = run(made)
    assert ended.exit_code == 75, log_of(made)
    assert ended.message.startswith("READ_LOST: ")
    assert "ESTALE" in ended.message
    assert "RANK_LOST: " in log_of(made)
    assert "Traceback" not in log_of(made)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    seen = list[int]()

    def see(record: Any) -> None:
        seen.append(record["update"])

    again = run_trainer(made.out / "job.json", made.runtime, see, lambda: bool(seen))
    assert again.message.startswith("STOPPED: ")  # it has gone on
