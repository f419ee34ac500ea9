"""A real Prefect server and worker: deployments are scheduled, triggered and shown."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.corpus import corpus
from tests.folders import read_resolved
from tests.waiting import LIMIT_SECONDS
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.plan import plan, select
from wavlm.pipeline.store import Store

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture
def server_environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        **environment,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
    }


@contextmanager
def running(arguments: list[str], environment: Mapping[str, str], log: Path) -> Iterator[int]:
    """A process in a session of its own, and its end with all its children."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", *arguments],
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def prefect(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_until(found: Callable[[], Any], what: str, log: Path) -> Any:
    """The first true answer; fails with the end of a log."""
    ends = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < ends:
        if answer := found():
            return answer
        time.sleep(0.5)
    pytest.fail(f"{what} did not come true; the log ends with\n{log.read_text()[-3000:]}")


def test_deployments_are_scheduled_triggered_and_shown(
    server_environment: dict[str, str], tiny_recipe: Path, tmp_path: Path
) -> None:
    url = server_environment["PREFECT_API_URL"]
    server_log, worker_log = tmp_path / "server.log", tmp_path / "worker.log"
    port = url.removesuffix("/api").rpartition(":")[2]
    arguments = ["server", "start", "--host", "127.0.0.1", "--port", port]
    with running(arguments, server_environment, server_log), httpx.Client(timeout=30) as client:

        def post(path: str, **body: Any) -> Any:
            answer = client.post(f"{url}/{path}", json=body)
            assert answer.is_success, answer.text
            return answer.json()

        wait_until(lambda: answers(client, url), "the server's health", server_log)
        for pool in ("cpu", "gpu"):
            post("work_pools/", name=pool, type="process")
        post("v2/concurrency_limits/", name="gpu", limit=1)
        prefect(server_environment, "--no-prompt", "deploy", "--all")
        deployments = {item["name"]: item for item in post("deployments/filter")}
        assert set(deployments) == {"prepare", "pretrain", "stage", "evaluate"}
        assert not any(item["schedules"] for item in deployments.values())

        prepare = deployments["prepare"]
        schedule = {"active": True, "schedule": {"cron": "15 2 * * *", "timezone": "UTC"}}
        answer = client.post(f"{url}/deployments/{prepare['id']}/schedules", json=[schedule])
        assert answer.is_success, answer.text
        scheduled = {
            "deployments": {"id": {"any_": [prepare["id"]]}},
            "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        }
        wait_until(lambda: post("flow_runs/filter", **scheduled), "a scheduled run", server_log)
        prefect(server_environment, "--no-prompt", "deploy", "--all")
        (kept,) = client.get(f"{url}/deployments/{prepare['id']}").json()["schedules"]
        assert kept["active"]
        wait_until(lambda: post("flow_runs/filter", **scheduled), "a scheduled run again", server_log)

        store = Store(tmp_path / "store")
        (wanted,) = select(plan(read_resolved(tiny_recipe, store)), "corpus")
        corpus.fn(wanted, store, Runtime())  # the stage's input
        parameters = {"kind": "shards", "recipe": str(tiny_recipe), "store": str(store.root)}
        stage = deployments["stage"]
        refused = client.post(
            f"{url}/deployments/{stage['id']}/create_flow_run",
            json={"parameters": {**parameters, "kind": "tea"}},
        )
        assert refused.is_client_error, refused.text

        with running(["worker", "start", "--pool", "cpu"], server_environment, worker_log):
            run = post(f"deployments/{stage['id']}/create_flow_run", parameters=parameters)

            def has_ended() -> str | None:
                state = client.get(f"{url}/flow_runs/{run['id']}").json()["state"]
                final = state["type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
                return str(state["type"]) if final else None

            assert wait_until(has_ended, "the run's end", worker_log) == "COMPLETED", worker_log.read_text()[-3000:]

        assert list(store.root.glob("shards/tiny-speech-*/index.parquet"))
        artifacts = {item["type"]: item for item in post("artifacts/filter")}
        assert artifacts["progress"]["key"] == "tiny-progress-shards-tiny-speech"
        assert artifacts["progress"]["data"] == 100
        tables = "".join(item["data"] for item in post("artifacts/filter") if item["type"] == "table")
        assert '"utterances": "16"' in tables
        assert '"in": "16", "used": "16"' in tables
        pages = [item["data"] for item in post("artifacts/filter") if item["type"] == "markdown"]
        assert any("# tiny" in page for page in pages)


def answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False
