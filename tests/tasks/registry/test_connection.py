"""Following a training: every metric arrives once, and training never waits for MLflow."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.registry import connection
from tasks.registry.connection import connect
from tasks.registry.following import Follower, follow_training
from tasks.registry.runs import KEY_TAG, Tracked, open_run
from tests.waiting import LIMIT_SECONDS, wait_until
from wavlm.errors import LockedError
from wavlm.pipeline.registration import without_password
from wavlm.pipeline.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run

    from tests.tasks.conftest import BuiltStore

# Prefect may be asked to follow our loggers; outside a flow it complains.
pytestmark = pytest.mark.filterwarnings("ignore:Logger 'tasks:UserWarning")

RECORDS = 50


def test_a_registry_that_may_not_be_written_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("tasks.registry.database.os.access", lambda *_: False)
    with pytest.raises(LockedError, match="REGISTRY_READONLY"):
        connect(Store(tmp_path / "store"))
    assert not list(tmp_path.iterdir())


def record(update: int) -> dict[str, float]:
    return {"update": update, "train/loss": 1.0 / update, "time_unix": 1e9 + update}


def feed(follower: Follower, updates: range) -> float:
    """Feed records; returns the longest time that one of them took, in seconds."""
    longest = 0.0
    for update in updates:
        started = time.monotonic()
        follower.feed(record(update))
        longest = max(longest, time.monotonic() - started)
        time.sleep(0.001)
    return longest


def the_run(built: BuiltStore) -> Run:
    client = connect(built.store).client
    experiment = client.get_experiment_by_name("wavlm/tiny").experiment_id
    (run,) = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{built.models[0].key}'")
    return run


def losses(built: BuiltStore) -> list[tuple[int, float]]:
    client = connect(built.store).client
    found = client.get_metric_history(the_run(built).info.run_id, "train/loss")
    return sorted((metric.step, metric.value) for metric in found)


@pytest.mark.slow
def test_a_restarted_training_goes_on_in_the_same_run_without_repeating_steps(built: BuiltStore) -> None:
    follower = follow_training(Tracked(built.models[0], "tiny"), built.store)
    feed(follower, range(1, 31))
    follower.close("KILLED")
    wait_until(lambda: the_run(built).info.status == "KILLED")

    # The trainer resumes from a snapshot at update 20 and reports 21 to 30 once more.
    follower = follow_training(Tracked(built.models[0], "tiny"), built.store)
    feed(follower, range(21, RECORDS + 1))
    follower.close("FINISHED")

    wait_until(lambda: the_run(built).info.status == "FINISHED")
    assert losses(built) == [(update, 1.0 / update) for update in range(1, RECORDS + 1)]


@pytest.mark.slow
def test_a_server_that_is_gone_costs_one_warning_and_no_time(
    built: BuiltStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    follower = follow_training(Tracked(built.models[0], "tiny"), built.store)
    longest = feed(follower, range(1, RECORDS + 1))
    wait_until(lambda: "wavlm sync" in caplog.text)
    longest = max(longest, feed(follower, range(RECORDS, 2 * RECORDS)))
    started = time.monotonic()
    follower.close("FINISHED")
    assert max(longest, time.monotonic() - started) < 60  # MLflow's own retries would hold it up for minutes
    warnings = [item for item in caplog.records if item.name == "tasks.registry.following"]
    assert len(warnings) == 1


@pytest.mark.slow
def test_a_locked_database_holds_up_neither_feeding_nor_closing(
    built: BuiltStore, caplog: pytest.LogCaptureFixture
) -> None:
    follower = follow_training(Tracked(built.models[0], "tiny"), built.store)
    feed(follower, range(1, 5))
    with sqlite3.connect(built.store.root / "registry" / "mlflow.db") as other:
        other.execute("BEGIN EXCLUSIVE")
        longest = feed(follower, range(5, RECORDS + 1))
        started = time.monotonic()
        follower.close("FINISHED")
        assert max(longest, time.monotonic() - started) < 60  # MLflow's own retries would hold it up for minutes
        assert "wavlm sync" in caplog.text
        other.rollback()
    other.close()


@pytest.mark.slow
def test_two_who_open_the_run_of_a_model_at_once_get_the_same_run(built: BuiltStore) -> None:
    registry = connect(built.store)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: open_run(registry, Tracked(built.models[0], "tiny")), range(4)))
    assert len(set(found)) == 1


FIRST_USE = """
import sys, time
from tasks.registry import connection
from tasks.registry.connection import connect
from wavlm.pipeline.store import Store
import mlflow
time.sleep(max(0.0, float(sys.argv[2]) - time.time()))
connect(Store(sys.argv[1]))
"""


@pytest.mark.slow
def test_processes_that_use_a_fresh_registry_at_once_do_not_break_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    start = str(time.time() + 8)
    command = [sys.executable, "-c", FIRST_USE, str(tmp_path), start]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    results = [(process.communicate(timeout=LIMIT_SECONDS), process.returncode) for process in processes]
    assert [code for _, code in results] == [0, 0], results


def test_messages_name_a_server_without_its_password() -> None:
    assert without_password("https://me:pw@example.org:5000/x") == "https://example.org:5000/x"
    assert without_password("sqlite:////data/mlflow.db") == "sqlite:////data/mlflow.db"


def test_threads_import_the_client_of_the_registry_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Side by side they find SQLAlchemy half initialised: a version was not registered beside a training, so."""
    under_way: list[str] = []
    met: list[str] = []

    def import_slowly(name: str) -> None:
        met.extend(under_way)
        under_way.append(name)
        time.sleep(0.02)
        under_way.remove(name)

    monkeypatch.setattr(connection, "import_module", import_slowly)

    def enter() -> None:
        with connection.translate_registry_errors("sqlite:///none"):
            pass

    threads = [threading.Thread(target=enter) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_SECONDS)
    assert not met
