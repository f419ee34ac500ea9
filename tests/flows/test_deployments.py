"""A real Prefect server and worker: deployments are scheduled, triggered and shown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tasks.corpus import corpus
from tests.folders import read_resolved
from tests.servers.conftest import prefect_server  # noqa: F401 - a fixture
from tests.servers.servers import ROOT, TERMINAL, PrefectServer, worker
from tests.waiting import LIMIT_SECONDS, wait_until
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.plan import plan
from wavlm.pipeline.selection import select
from wavlm.pipeline.store import Store

pytestmark = pytest.mark.slow


def prefect(environment: Mapping[str, str], *arguments: str) -> None:
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


@pytest.mark.full
def test_deployments_are_scheduled_triggered_and_shown(
    prefect_server: PrefectServer,  # noqa: F811
    tiny_recipe: Path,
    tmp_path: Path,
) -> None:
    server = prefect_server
    for pool in ("cpu", "gpu"):
        server.post("work_pools/", name=pool, type="process")
    server.post("v2/concurrency_limits/", name="gpu", limit=1)
    prefect(server.environment, "--no-prompt", "deploy", "--all")
    deployments = {item["name"]: item for item in server.post("deployments/filter")}
    assert set(deployments) == {"prepare", "pretrain", "refresh", "stage", "evaluate", "finetune"}
    assert not any(item["schedules"] for item in deployments.values())

    schedule = {"active": True, "schedule": {"cron": "15 2 * * *", "timezone": "UTC"}}
    server.ask("POST", f"deployments/{deployments['prepare']['id']}/schedules", [schedule])
    wait_until(lambda: server.runs_of("prepare/prepare"), "a scheduled run")
    prefect(server.environment, "--no-prompt", "deploy", "--all")
    (kept,) = server.deployment("prepare/prepare")["schedules"]
    assert kept["active"]
    wait_until(lambda: server.runs_of("prepare/prepare"), "a scheduled run again")

    store = Store(tmp_path / "store")
    (wanted,) = select(plan(read_resolved(tiny_recipe, store)), "corpus")
    corpus.fn(wanted, store, Runtime())  # the stage's input
    parameters = {"kind": "shards", "recipe": str(tiny_recipe), "store": str(store.root)}
    refused = server.client.post(
        f"{server.url}/deployments/{deployments['stage']['id']}/create_flow_run",
        json={"parameters": {**parameters, "kind": "tea"}},
    )
    assert refused.is_client_error, refused.text

    with worker(server, "cpu", "worker") as process:
        run = server.start_run("stage/stage", **parameters)
        wait_until(lambda: server.get(f"flow_runs/{run}")["state"]["type"] in TERMINAL, f"the run's end, {process.log}")
    assert server.state(run) == "Completed", process.log.read_text()[-3000:]

    assert list(store.root.glob("shards/tiny-speech-*/index.parquet"))
    artifacts = {item["type"]: item for item in server.post("artifacts/filter")}
    assert artifacts["progress"]["key"] == "tiny-progress-shards-tiny-speech"
    assert artifacts["progress"]["data"] == 100
    tables = "".join(item["data"] for item in server.post("artifacts/filter") if item["type"] == "table")
    assert '"utterances": "16"' in tables
    assert '"in": "16", "used": "16"' in tables
    pages = [item["data"] for item in server.post("artifacts/filter") if item["type"] == "markdown"]
    assert any("# tiny" in page for page in pages)
