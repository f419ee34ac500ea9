"""`wavlm deploy` on a real server: once, again, and after people have changed things in Prefect."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.servers.servers import ROOT, PrefectServer, run_wavlm
from tests.waiting import LIMIT_SECONDS, wait_until

pytestmark = pytest.mark.full


def test_what_people_changed_stays_and_a_reset_undoes_it(
    prefect_server: PrefectServer, tiny_recipe: Path, tmp_path: Path
) -> None:
    server = prefect_server
    command = ("deploy", tiny_recipe, "--store", tmp_path / "store", "--nightly", "02:15", "--weekly", "sat 04:30")

    def deploy(*options: object) -> str:
        return run_wavlm(server.environment, *command, *options)

    made = deploy("--timezone", "Europe/Prague")
    assert "deployment prepare/tiny: made, in pool cpu" in made
    prepare, pretrain = server.deployment("prepare/tiny"), server.deployment("pretrain/tiny")
    (schedule,) = prepare["schedules"]
    assert (schedule["slug"], schedule["active"]) == ("nightly", True)
    assert schedule["schedule"]["cron"] == "15 2 * * *"
    assert schedule["schedule"]["timezone"] == "Europe/Prague"
    assert prepare["parameters"]["store"] == str(tmp_path / "store")
    assert prepare["concurrency_limit"] is None  # its lease would end the run
    queue = server.get(f"work_pools/cpu/queues/{prepare['work_queue_name']}")
    assert queue["concurrency_limit"] == 1
    limits = {item["name"]: item["limit"] for item in server.post("v2/concurrency_limits/filter")}
    assert limits == {"tag:download": 2, "tag:gpu": 1}
    wait_until(lambda: server.runs_of("prepare/tiny"), "planned runs")
    planned = {run["id"] for run in server.runs_of("prepare/tiny")}

    before = server_state(server)
    assert "nothing to change" in deploy("--timezone", "Europe/Prague")
    assert server_state(server) == before
    assert planned <= {run["id"] for run in server.runs_of("prepare/tiny")}

    # People switch a schedule off, delete the other, pause, give more workers, and switch an automation off.
    server.ask("PATCH", f"deployments/{prepare['id']}/schedules/{schedule['id']}", {"active": False})
    server.ask("DELETE", f"deployments/{pretrain['id']}/schedules/{pretrain['schedules'][0]['id']}")
    server.post(f"deployments/{pretrain['id']}/pause_deployment")
    parameters = {**pretrain["parameters"], "runtime": {"workers": 16}}
    server.ask("PATCH", f"deployments/{pretrain['id']}", {"parameters": parameters})
    lost = next(item for item in server.post("automations/filter") if "lost" in item["name"])
    server.ask("PATCH", f"automations/{lost['id']}", {"enabled": False})
    changed = server_state(server)
    said = deploy("--timezone", "Europe/Prague")
    assert server_state(server) == changed
    assert "pretrain/tiny: schedules.weekly.cron was removed in Prefect, and stays so" in said
    # Workers were never ours to set: the command does not name them, and the default is not written.
    assert server.deployment("pretrain/tiny")["parameters"]["runtime"] == {"workers": 16}

    # A new word in the command counts, and only there.
    deploy("--timezone", "Europe/Prague", "--workers", 3)
    assert server.deployment("pretrain/tiny")["parameters"]["runtime"] == {"workers": 3}
    assert server.deployment("pretrain/tiny")["paused"]
    assert not server.deployment("prepare/tiny")["schedules"][0]["active"]

    deploy("--timezone", "Europe/Prague", "--workers", 3, "--reset")
    assert [item["slug"] for item in server.deployment("pretrain/tiny")["schedules"]] == ["weekly"]

    refused = subprocess.run(
        [sys.executable, "-m", "flows.cli", *map(str, command), "--image", "wavlm"],
        cwd=ROOT, env=server.environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    assert refused.stderr.startswith("POOL_IMAGE: ")


def test_options_that_are_left_out_stay(prefect_server: PrefectServer, tiny_recipe: Path, tmp_path: Path) -> None:
    server = prefect_server
    long = "x" * 9000  # more than a variable of Prefect takes
    named = ("deploy", tiny_recipe, "--store", tmp_path / "store")
    run_wavlm(
        server.environment, *named, "--gpus", 2, "--pool", "data", "--env", f"LONG={long}", "--weekly", "sat 4:30"
    )
    before = server_state(server)
    assert "nothing to change" in run_wavlm(server.environment, "deploy", tiny_recipe)
    assert server_state(server) == before
    said = run_wavlm(server.environment, "deploy", tiny_recipe, "--gpus", 4)
    assert "deployment pretrain/tiny: parameters.runtime.gpus: 2 -> 4" in said
    pretrain, evaluate = server.deployment("pretrain/tiny"), server.deployment("evaluate/tiny")
    assert pretrain["parameters"]["runtime"] == {"gpus": 4}
    assert pretrain["parameters"]["training"] == "stage/tiny.training"
    assert pretrain["job_variables"]["env"]["LONG"] == long
    assert (pretrain["work_pool_name"], evaluate["work_pool_name"]) == ("data", "gpu")

    other = tiny_recipe.with_name("other.yaml")
    other.write_text(tiny_recipe.read_text())
    before = server_state(server)
    for command in ((*named[:2], "--store", tmp_path / "elsewhere"), ("deploy", other, "--store", tmp_path / "store")):
        refused = subprocess.run(
            [sys.executable, "-m", "flows.cli", *map(str, command)],
            cwd=ROOT, env=server.environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
        )  # fmt: skip
        assert refused.returncode == 2
        assert refused.stderr.startswith("DEPLOYMENT_TAKEN: a recipe of this name is deployed with the ")
    assert server_state(server) == before

    said = run_wavlm(server.environment, "deploy", tiny_recipe, "--trainings", 3, "--downloads", 5)
    assert "limit tag:gpu: 1 at a time -> 3" in said
    limits = {item["name"]: item["limit"] for item in server.post("v2/concurrency_limits/filter")}
    assert limits == {"tag:download": 5, "tag:gpu": 3}
    assert server.get("work_pools/gpu")["concurrency_limit"] == 3
    assert "nothing to change" in run_wavlm(server.environment, "deploy", tiny_recipe)

    run_id = server.start_run("stage/tiny.training")
    said = run_wavlm(server.environment, "deploy", tiny_recipe, "--gpus", 0)
    assert "deployment stage/tiny.training: stays, for " in said
    server.ask("DELETE", f"flow_runs/{run_id}")
    said = run_wavlm(server.environment, "deploy", tiny_recipe)
    assert "deployment stage/tiny.training: removed" in said
    assert {item["name"] for item in server.post("deployments/filter")} == {"tiny"}
    assert "stage-tiny.training" not in {item["name"] for item in server.post("work_queues/filter")}
    assert "nothing to change" in run_wavlm(server.environment, "deploy", tiny_recipe)


def server_state(server: PrefectServer) -> list[Any]:
    """All that a deployment makes, with the times at which it was last changed; without what runs add."""
    deployments = [
        {key: value for key, value in item.items() if key not in {"updated", "last_polled", "status"}}
        for item in server.post("deployments/filter")
    ]
    return [
        sorted(deployments, key=lambda item: str(item["id"])),
        sorted((item["name"], item["enabled"], item["updated"]) for item in server.post("automations/filter")),
        sorted((item["name"], item["limit"]) for item in server.post("v2/concurrency_limits/filter")),
        sorted(item["name"] for item in server.post("work_pools/filter")),
    ]
