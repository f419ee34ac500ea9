"""The whole line with real servers: a schedule fires, a machine is lost, the next run goes on, the verdict is told.

It waits for events. The first that does not come within ten minutes ends it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.servers.servers import PrefectServer, mlflow_server, run_wavlm, webhook_receiver, worker
from tests.waiting import wait_until

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]  # each wait gives up after ten minutes
SNAPSHOT_EVERY = 5
HANDED_OVER = ("the first model", "the second codebook", "the second labels", "the second model")


def test_a_deployed_recipe_ends_in_the_registry_although_a_machine_is_lost(
    prefect_server: PrefectServer, tiny_recipe: Path, tmp_path: Path
) -> None:
    server, store = prefect_server, tmp_path / "store"
    with mlflow_server(server.environment, tmp_path) as mlflow, webhook_receiver() as (hook, told):
        environment = {**server.environment, "MLFLOW_TRACKING_URI": mlflow}
        command = (
            *("deploy", tiny_recipe, "--store", store, "--pool", "data", "--gpu-pool", "trainers"),
            *("--nightly", "* * * * *", "--after-prepare", "--webhook", hook),
            *("--workers", 1, "--threads", 1, "--processes", 1, "--snapshot-every", SNAPSHOT_EVERY),
        )
        run_wavlm(environment, *command)
        with worker(server, "data", "disks", MLFLOW_TRACKING_URI=mlflow):
            with worker(server, "trainers", "first", MLFLOW_TRACKING_URI=mlflow) as first:
                wait_until(lambda: ended(server, "prepare/tiny", "Completed"), "data, by the schedule")
                switch_schedule(server, on=False)
                wait_until(lambda: len(curve(store)) > SNAPSHOT_EVERY + 1, "some updates of the first iteration")
                before = curve(store)
                first.kill()
            run_wavlm(environment, *command)
            assert not schedule_of(server)["active"]  # a person switched it off, and it stays so
            assert not is_trained(store)
            wait_until(lambda: ended(server, "stage/tiny.training", "Crashed"), "the end of the lost training")
            lost = ended(server, "stage/tiny.training", "Crashed")[0]
            wait_until(lambda: [item for item in told if item.get("run_id") == lost["id"]], "the message about it")
            assert "LOST" in next(item["message"] for item in told if item.get("run_id") == lost["id"])

            with worker(server, "trainers", "second", MLFLOW_TRACKING_URI=mlflow):
                for count in range(1, len(HANDED_OVER) + 1):
                    wait_until(lambda count=count: num_completed(server) >= count, HANDED_OVER[count - 1])
                wait_until(lambda: num_verdicts(told) == 2, "the gate's verdicts on both iterations")
                wait_until(lambda: ended(server, "pretrain/tiny", "Completed"), "the end of the run that handed over")

        assert is_trained(store)
        kept = curve(store)
        assert len(kept) == 40
        assert kept[:SNAPSHOT_EVERY] == before[:SNAPSHOT_EVERY]  # with its times: it went on, and did not begin anew
        champions = [item["champion"] for item in told if item["event"] == "gate.verdict"]
        assert champions == [False, True]
        shown = run_wavlm(environment, "models", "list", "--store", store)
        assert [line.split()[:2] for line in shown.splitlines()[1:3]] == [["wavlm-tiny", "2"], ["wavlm-tiny", "1"]]
        compared = run_wavlm(environment, "models", "compare", "wavlm-tiny:1", "wavlm-tiny:2", "--store", store)
        assert "valid/loss" in compared


def ended(server: PrefectServer, deployment: str, state: str) -> list[Any]:
    return [run for run in server.runs_of(deployment) if run["state"]["name"] == state]


def num_completed(server: PrefectServer) -> int:
    return len(ended(server, "stage/tiny.training", "Completed"))


def schedule_of(server: PrefectServer) -> Any:
    (schedule,) = server.deployment("prepare/tiny")["schedules"]
    return schedule


def switch_schedule(server: PrefectServer, *, on: bool) -> None:
    """As a person does it on the page of the deployment."""
    path = f"deployments/{server.deployment('prepare/tiny')['id']}/schedules/{schedule_of(server)['id']}"
    server.ask("PATCH", path, {"active": on})


def curve(store: Path) -> list[str]:
    """The lines that the first iteration's training has written."""
    found = [
        *store.glob("pretrain/.iteration1-*.partial/metrics.jsonl"),
        *store.glob("pretrain/iteration1-*/metrics.jsonl"),
    ]
    return found[0].read_text().splitlines() if found else []


def is_trained(store: Path) -> bool:
    return any(store.glob("pretrain/iteration1-*/artifact.json"))


def num_verdicts(told: list[dict[str, Any]]) -> int:
    return len([item for item in told if item["event"] == "gate.verdict"])
