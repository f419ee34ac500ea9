"""The contract of `run_parts` on a Dask cluster, and what the library does by default that would lose work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.execution.test_parts import die_at_two, note_number, note_or_refuse, own_number, square_slowly_if_small
from tests.waiting import wait_until
from wavlm.errors import BadDataError, CodedError, ServiceMissingError, UsageError, WorkerDiedError
from wavlm.execution import batch, cluster, scheduler
from wavlm.execution.batch import BatchDone, Likeness, PartsBatch, do_batch
from wavlm.execution.cluster import Cluster
from wavlm.execution.progress import no_progress

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    # The library's own, of sockets and processes that it closes late.
    pytest.mark.filterwarnings("ignore"),
]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A scheduler with two workers, as `dask worker --nthreads 1` starts them."""
    import dask

    settings = {"distributed.scheduler.allowed-failures": 1}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50, memory_limit=0
        ) as started,
    ):
        yield started.scheduler_address


def ask(address: str, function: Callable[..., Any]) -> Any:
    """What the scheduler says."""
    with distributed.Client(address) as client:
        return client.run_on_scheduler(function)


def test_results_are_in_part_order_and_made_by_other_processes(address: str, tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []
    results = Cluster(address, tmp_path)(range(40), square_slowly_if_small, 1, lambda *now: seen.append(now))
    assert [value for value, _ in results] == [part * part for part in range(40)]
    assert len({pid for _, pid in results} - {os.getpid()}) == 2
    assert (seen[0], seen[-1]) == ((0, 40), (40, 40))
    assert not list((tmp_path / "locks").iterdir())
    assert Cluster(address, tmp_path)([], abs, 1, no_progress) == []


def test_a_worker_is_not_lost_because_a_part_holds_the_interpreter(address: str, tmp_path: Path) -> None:
    Cluster(address, tmp_path)(range(4), abs, 1, no_progress)
    assert ask(address, lambda dask_scheduler: dask_scheduler.worker_ttl) >= 3600


def test_errors_keep_type_and_code_and_end_no_other_part(address: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    work = partial(note_or_refuse, folder=tmp_path / "out", refused={3, 7})
    with pytest.raises(BadDataError, match="SOME_CODE: 2 of 12 parts failed, the first: part 3 is bad") as caught:
        Cluster(address, tmp_path)(range(12), work, 1, no_progress)
    assert "while making part 3" in caught.value.__notes__
    assert len(list((tmp_path / "out").iterdir())) == 10


def give_lock(part: int) -> object:
    return threading.Lock() if part == 2 else part


def raise_strange(part: int) -> int:
    class StrangeError(Exception):  # cannot be pickled: no module has it
        pass

    raise StrangeError("it is strange")


def test_what_does_not_travel_is_the_part_s_failure(address: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="pickle") as caught:
        Cluster(address, tmp_path)(range(4), give_lock, 1, no_progress)
    assert "while making part 2" in caught.value.__notes__
    with pytest.raises(RuntimeError, match="it is strange"):
        Cluster(address, tmp_path)([1, 2], raise_strange, 1, no_progress)


def decode_in_child(part: int) -> int:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(abs, (part,))


def test_a_part_may_have_a_child_of_its_own(address: str, tmp_path: Path) -> None:
    """Decoders run in one, and by default a worker of Dask may have none."""
    assert Cluster(address, tmp_path)([-1, -2], decode_in_child, 1, no_progress) == [1, 2]


def compute(part: int, folder: Path) -> int:
    """A part as stages have them: what is done is found again."""
    done = folder / f"{part}.done"
    if not done.exists():
        with (folder / f"{part}.begun").open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.1)
        done.touch()
    return part


def test_a_worker_that_is_killed_costs_what_it_was_doing(address: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    killed: list[int] = []

    def kill_once(done: float, _total: float) -> None:
        if done >= 10 and not killed:
            last = max(out.glob("*.begun"), key=lambda path: path.stat().st_mtime_ns)
            killed.append(int(last.read_text().split()[-1]))
            os.kill(killed[0], signal.SIGKILL)

    results = Cluster(address, tmp_path)(range(60), partial(compute, folder=out), 1, kill_once)
    assert killed
    assert results == list(range(60))
    again = [path for path in out.glob("*.begun") if len(path.read_text().split()) > 1]
    assert len(again) <= 1  # the one that it was at


def test_a_part_that_kills_is_found_and_the_others_are_finished(address: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(WorkerDiedError, match=r"WORKER_DIED: .*at part 2;") as caught:
        Cluster(address, tmp_path)(range(30), partial(die_at_two, folder=tmp_path / "out"), 1, no_progress)
    assert "while making part 2" in caught.value.__notes__
    assert len(list((tmp_path / "out").iterdir())) == 29


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        ("code", {"code": "other"}, "its code of this pipeline is another one; at .*; update it"),
        ("versions", {"versions": {"python": "2.7"}}, r"it has python .*, expected 2\.7; at .*; install the same"),
        (
            "sight",
            {"sight": Path("/nowhere/token")},
            "does not see the store: /nowhere/token: .*; at .*; mount the same",
        ),
        ("old", {"token": "another run's"}, "does not see the store"),
    ],
)
def test_a_worker_that_is_not_like_this_process_does_nothing(
    address: str, tmp_path: Path, name: str, changed: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(sight: Path, token: str) -> Likeness:
        fields = {"versions": batch.library_versions(), "code": batch.digest_code(), "sight": sight, "token": token}
        return Likeness(**{**fields, **changed})

    monkeypatch.setattr(Likeness, "here", here)
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match=f"CLUSTER_UNLIKE: a worker cannot do this work: .*{said}"):
        Cluster(address, tmp_path)(
            range(9), partial(note_or_refuse, folder=tmp_path / "out", refused=set()), 1, no_progress
        )
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.full
def test_work_for_gpus_goes_to_workers_that_offer_one_and_each_has_its_number(address: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"CLUSTER_UNLIKE: no worker offers a GPU; at tcp://.*--resources gpu=1"):
        Cluster(address, tmp_path)(range(4), own_number, 1, no_progress, prepare=note_number)
    found = Cluster("", tmp_path)(range(8), own_number, 2, no_progress, prepare=note_number)
    assert set(found) == {"0", "1"}


def test_a_cluster_that_is_not_there_or_has_no_workers_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(scheduler, "NO_WORKERS_SECONDS", 1.0)
    with pytest.raises(ServiceMissingError, match=r"CLUSTER_DOWN: .*no scheduler answers.*; at tcp://127.0.0.1:1;"):
        Cluster("tcp://127.0.0.1:1", tmp_path)(range(4), abs, 1, no_progress)
    with (
        distributed.LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None, silence_logs=50) as started,
        pytest.raises(ServiceMissingError, match=r"CLUSTER_DOWN: .*it has no workers; at tcp://"),
    ):
        Cluster(started.scheduler_address, tmp_path)(range(4), abs, 1, no_progress)


@pytest.mark.full
def test_workers_that_all_go_away_are_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "NO_WORKERS_SECONDS", 1.0)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
    ) as started:

        def leave(done: float, _total: float) -> None:
            if done == 1:
                started.scale(0)

        with pytest.raises(ServiceMissingError, match="CLUSTER_DOWN"):
            Cluster(started.scheduler_address, tmp_path)(range(2000), sleep_a_little, 1, leave)


def sleep_a_little(_part: int) -> None:
    time.sleep(0.5)


@pytest.mark.full
def test_a_cluster_of_this_machine_takes_only_who_has_its_key(tmp_path: Path) -> None:
    import dask

    with dask.config.set(scheduler._SETTINGS), scheduler._start(1, {}) as started:
        assert started.scheduler_address.startswith("tls://127.0.0.1:")  # type: ignore[attr-defined]
        assert started.security.require_encryption  # type: ignore[attr-defined]


@pytest.mark.full
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_workers_of_this_machine_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import pathlib, os, time, sys\n"
        "from wavlm.execution.cluster import Cluster\n"
        "def work(part):\n"
        "    pathlib.Path(part + '.partial').write_text(str(os.getpid()))\n"
        "    os.rename(part + '.partial', part)\n"
        "    time.sleep(100_000)\n"
        "if __name__ == '__main__':\n"
        "    Cluster('', pathlib.Path(sys.argv[1]).parent)(sys.argv[1:], work, 2, lambda done, total: None)\n"
    )
    notes = [tmp_path / "a", tmp_path / "b"]
    parent = subprocess.Popen([sys.executable, script, *notes], env={**os.environ, "PYTHONPATH": str(ROOT)})
    wait_until(lambda: all(note.exists() for note in notes))
    pids = [int(note.read_text()) for note in notes]
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(_runs(pid) for pid in pids))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class OneAtATime:
    """A client that does a batch when its turn comes, and counts what is under way."""

    status = "running"
    scheduler = None

    def __init__(self, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
        self.workers, self.now, self.most, self.released = workers, 0, 0, 0
        self.sizes: list[int] = []
        monkeypatch.setattr(cluster, "workers_of", lambda _: dict.fromkeys(range(workers)))

    def submit(self, _function: object, asked: PartsBatch, *, key: str, **settings: object) -> Done:
        assert settings == {"pure": False, "retries": 0, "resources": None}
        self.now += 1
        self.most = max(self.most, self.now)
        self.sizes.append(len(asked.numbers))
        return Done(self, key, asked)


class Done:
    status = "finished"

    def __init__(self, client: OneAtATime, key: str, asked: PartsBatch) -> None:
        self.client, self.key, self.asked = client, key, asked

    def add_done_callback(self, call: Callable[[Done], None]) -> None:
        call(self)

    def result(self, timeout: float) -> BatchDone:
        assert timeout
        return do_batch(self.asked)

    def release(self) -> None:
        self.client.now -= 1
        self.client.released += 1


def run_with(client: OneAtATime, tmp_path: Path, parts: range, work: Callable[[int], Any]) -> list[Any]:
    from wavlm.execution.outcomes import Outcomes

    outcomes: Outcomes[int, Any] = Outcomes(parts, no_progress)
    with cluster._show(tmp_path) as likeness:
        cluster._ClusterRun(client, likeness, parts, work, None, outcomes, {}).finish()
    return outcomes.results()


def test_few_batches_are_under_way_they_grow_and_are_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = OneAtATime(monkeypatch, workers=3)
    assert run_with(client, tmp_path, range(20_000), abs) == list(range(20_000))
    assert client.most == 12
    assert client.released == len(client.sizes) < 200
    assert client.sizes[0] == 1
    assert max(client.sizes) == cluster.MOST_PARTS
    assert client.sizes[-1] == 1  # so that all workers end together


def test_a_batch_ends_after_its_time_and_what_is_left_is_done_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BATCH_SECONDS", 0.0)
    client = OneAtATime(monkeypatch, workers=1)
    assert run_with(client, tmp_path, range(50), abs) == list(range(50))
    assert len(client.sizes) == 50


def test_large_parts_make_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "MOST_BYTES", 400)
    client = OneAtATime(monkeypatch, workers=1)
    assert run_with(client, tmp_path, range(500), abs) == list(range(500))
    assert max(client.sizes) < 256


def test_a_worker_with_several_threads_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_checked", set())
    with cluster._show(tmp_path) as likeness, pytest.raises(UsageError, match=r"it has 8 threads; at .*--nthreads 1"):
        do_batch(PartsBatch(likeness, (), b""), lambda: 8)


def test_a_missing_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(CodedError, match=r"PACKAGE_MISSING: .*pip install"):
        Cluster("tcp://127.0.0.1:1", tmp_path)(range(4), abs, 1, no_progress)
