"""Kind: the same bytes, wherever the parts of a stage were made, and however many made them at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from flows import make as flows_make
from flows.make import make_share
from tests.folders import read_resolved, write_project
from tests.waiting import wait_until
from wavlm.execution.runtime import Runtime
from wavlm.execution.share import Share
from wavlm.labels import build as labels_build
from wavlm.pipeline.artifacts import Artifact
from wavlm.pipeline.plan import plan
from wavlm.pipeline.record import SealedFile, read_record
from wavlm.pipeline.store import Store
from wavlm.shards import build as shards_build

ROOT = Path(__file__).parents[2]
DATA = ("corpus", "shards", "codebook", "labels")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of a library that closes its sockets late

Files = Mapping[str, Mapping[str, SealedFile]]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose shards have a tar for every few clips."""
    recipe = write_project(tmp_path_factory.mktemp("project"), speakers=("ann", "bob", "cid", "dan", "eve", "fay"))
    recipe.write_text(recipe.read_text().replace("max_seconds: 4.0}", "max_seconds: 4.0, shard_megabytes: 0.02}"))
    return recipe


@pytest.fixture(scope="module")
def expected(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """What one process makes, one part after the other."""
    return make_data(recipe, Store(tmp_path_factory.mktemp("expected")), Runtime(workers=1))


@pytest.fixture(autouse=True)
def _many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """So little data would be made by one process."""
    monkeypatch.setattr(shards_build, "SECONDS_PER_WORKER", 0.1)
    monkeypatch.setattr(labels_build, "CORE_SECONDS_PER_WORKER", 1e-6)


@pytest.fixture
def address() -> Iterator[str]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50, memory_limit=0
    ) as started:
        yield started.scheduler_address


def data_of(recipe: Path, store: Store) -> list[Artifact]:
    return [item for item in plan(read_resolved(recipe, store)) if item.kind in DATA]


def make_data(recipe: Path, store: Store, runtime: Runtime) -> Files:
    """Make all data of a recipe, without a server; what was made, by kind."""
    for item in data_of(recipe, store):
        flows_make._TASKS[item.kind].fn(item, store, runtime)
    return files_in(recipe, store)


def files_in(recipe: Path, store: Store) -> Files:
    found = {item.kind: read_record(store.path(item)).files for item in data_of(recipe, store)}
    assert list(found) == list(DATA)
    assert len([name for name in found["shards"] if name.endswith(".tar")]) >= 6
    return found


@pytest.mark.full
def test_a_pool_of_processes(recipe: Path, expected: Files, tmp_path: Path) -> None:
    assert make_data(recipe, Store(tmp_path), Runtime(workers=2)) == expected


@pytest.mark.full
def test_a_cluster_of_this_machine(recipe: Path, expected: Files, tmp_path: Path) -> None:
    assert make_data(recipe, Store(tmp_path), Runtime(workers=2, executor="dask")) == expected


def test_a_cluster_of_which_a_worker_is_killed(recipe: Path, expected: Files, tmp_path: Path, address: str) -> None:
    from distributed import Client

    store = Store(tmp_path)
    with Client(address) as client:
        pids = list(client.run(os.getpid).values())
    killed = threading.Event()

    def kill() -> None:
        wait_until(lambda: any(store.root.glob("shards/.*.partial/*.tar")), "the first tar")
        os.kill(pids[0], signal.SIGKILL)
        killed.set()

    killer = threading.Thread(target=kill)
    killer.start()
    assert make_data(recipe, store, Runtime(workers=1, executor="dask", cluster=address)) == expected
    killer.join()
    assert killed.is_set()


@pytest.mark.full
def test_an_array_of_three_ranks(recipe: Path, expected: Files, tmp_path: Path) -> None:
    """Shards by three processes at the same time, as Slurm starts them; labels by ranks one after the other."""
    store = Store(tmp_path)
    corpus, shards, codebook, labels = data_of(recipe, store)
    runtime = Runtime(workers=1)
    flows_make._TASKS["corpus"].fn(corpus, store, runtime)
    command = [sys.executable, "-m", "flows.cli", "parts", "shards", str(recipe), "--store", str(tmp_path)]
    slurm = {"SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "3"}
    ranks = [
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, **slurm, "SLURM_ARRAY_TASK_ID": str(number)})
        for number in (1, 2, 3)
    ]
    assert [rank.wait() for rank in ranks] == [0, 0, 0]
    begun = {path.name: path.stat().st_mtime_ns for path in store.partial_folder(shards).glob("*.tar")}
    assert begun.keys() == {name for name in expected["shards"] if name.endswith(".tar")}
    for item in (shards, codebook):
        flows_make._TASKS[item.kind].fn(item, store, runtime)
    assert begun == {path.name: path.stat().st_mtime_ns for path in store.path(shards).glob("*.tar")}
    for rank in range(3):
        make_share(labels, store, runtime, Share(rank, 3))
    flows_make._TASKS["labels"].fn(labels, store, runtime)
    assert files_in(recipe, store) == expected


@pytest.mark.full
def test_two_runs_on_one_store(recipe: Path, expected: Files, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flows.cli", "run", str(recipe), "--store", str(tmp_path), "--until", "labels"]
    runs = [subprocess.Popen([*command, "--workers", "1"], cwd=ROOT) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert files_in(recipe, Store(tmp_path)) == expected
    assert not [path for path in (tmp_path / "locks").iterdir() if path.suffix in {".owner", ".reader"}]
