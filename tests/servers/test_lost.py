"""Runs whose machine is gone, and runs whose server was away: the first are Crashed, the second are not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.servers import ROOT, TERMINAL, PrefectServer, webhook_receiver, worker
from tests.waiting import wait_until

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]  # each wait gives up after ten minutes
SILENT_SECONDS = 110  # longer than the automation waits
DEPLOY = """
import json, sys
from prefect.client.orchestration import get_client
from flows.deploy.apply import apply
from flows.deploy.wanted import ENVIRONMENT, HEARTBEAT_TAG, Options
from pathlib import Path
from wavlm.execution.runtime import Runtime
from wavlm.specs.yaml import read_recipe

recipe, webhook = sys.argv[1:]
apply(read_recipe(recipe), Options(recipe, Path("store"), Runtime(), data_pool="a", training_pool="b", webhook=webhook),
      print, print)
with get_client(sync_client=True) as client:
    flow = client.create_flow_from_name("sleepy")
    for pool in ("a", "b"):
        client.create_work_queue("one", work_pool_name=pool, concurrency_limit=1)
        client.create_deployment(
            flow, pool, entrypoint="tests.servers.sleepy.sleepy", work_pool_name=pool, work_queue_name="one",
            tags=["wavlm", HEARTBEAT_TAG], job_variables={"env": ENVIRONMENT},
        )
"""


def test_a_lost_run_is_crashed_and_the_server_may_be_away(
    prefect_server: PrefectServer, tiny_recipe: Path, tmp_path: Path
) -> None:
    """One of two machines is lost, and the server started again. Later the server is away for longer than a run may
    be silent.
    """
    server, end = prefect_server, tmp_path / "end"
    with webhook_receiver() as (hook, told):
        subprocess.run(
            [sys.executable, "-c", DEPLOY, str(tiny_recipe), hook], cwd=ROOT, env=server.environment, check=True
        )
        with worker(server, "a", "first") as first, worker(server, "b", "other"):
            alive = server.start_run("sleepy/b", until=str(end))
            wait_until(lambda: num_heartbeats(server, alive), "the first heartbeat")
            server.kill()
            server.start()

            lost = server.start_run("sleepy/a", until=str(end))
            waiting = server.start_run("sleepy/a", until=str(end))
            wait_until(lambda: num_heartbeats(server, lost), "the first heartbeat")
            first.kill()
            wait_until(lambda: server.state(lost) == "Crashed", "the end of the lost run")
            wait_until(lambda: any(item["run_id"] == lost for item in told), "the message about it")
            assert server.state(waiting) in {"Scheduled", "Late"}
            assert "Crashed" not in server.states(alive)
            assert num_heartbeats(server, alive) > 3
            with worker(server, "a", "second"):  # the slot is free
                wait_until(lambda: server.state(waiting) == "Running", "the next run")

            server.kill()
            time.sleep(SILENT_SECONDS)
            server.start()
            wait_until(lambda: server.states(alive)[-2:] == ["Crashed", "Running"], "the answer of the other")
            wait_until(lambda: any(item["event"] == "run.answers" and item["run_id"] == alive for item in told))
            end.touch()
            wait_until(lambda: server.get(f"flow_runs/{alive}")["state"]["type"] in TERMINAL)
            assert server.state(alive) == "Completed"
        assert "blue-heron-17" not in json.dumps(server.post("block_documents/filter"))


def num_heartbeats(server: PrefectServer, run: str) -> int:
    found = server.post(
        "events/filter",
        filter={"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": [f"prefect.flow-run.{run}"]}},
    )
    return len(found["events"])
