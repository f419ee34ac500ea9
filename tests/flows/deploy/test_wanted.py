"""What a recipe wants of a server, as literal values."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.deploy import deployments
from flows.deploy.wanted import Options, want_deployments, want_limits, want_pools
from tests.tasks.conftest import recipe_of
from wavlm.execution.runtime import Runtime

OPTIONS = Options(
    recipe="/recipes/tiny.yaml", store=Path("/store"), runtime=Runtime(gpus=2), nightly="15 2 * * *",
    weekly="30 4 * * 6", timezone="Europe/Prague", environment=(("A", "b"),), downloads=3, trainings=2,
)  # fmt: skip
COMMON = {"recipe": "/recipes/tiny.yaml", "store": "/store", "runtime": {"gpus": 2}}


def test_with_two_pools_training_is_handed_over() -> None:
    found = {item.full_name: item for item in want_deployments(recipe_of(None), OPTIONS)}
    assert list(found) == ["prepare/tiny", "pretrain/tiny", "stage/tiny", "evaluate/tiny", "stage/tiny.training"]
    assert {name: item.pool for name, item in found.items()} == {
        "prepare/tiny": "cpu", "pretrain/tiny": "cpu", "stage/tiny": "cpu", "evaluate/tiny": "gpu",
        "stage/tiny.training": "gpu",
    }  # fmt: skip
    assert {name: item.parameters for name, item in found.items()} == {
        "prepare/tiny": COMMON,
        "pretrain/tiny": {**COMMON, "training": "stage/tiny.training"},
        "stage/tiny": {**COMMON, "kind": "shards"},
        "evaluate/tiny": COMMON,
        "stage/tiny.training": {**COMMON, "kind": "pretrain"},
    }
    assert {name: item.schedules for name, item in found.items() if item.schedules} == {
        "prepare/tiny": {"nightly": {"cron": "15 2 * * *", "timezone": "Europe/Prague"}},
        "pretrain/tiny": {"weekly": {"cron": "30 4 * * 6", "timezone": "Europe/Prague"}},
    }
    assert [item.tags for item in found.values()] == [
        ("data",), ("training",), ("rerun",), ("evaluation",), ("training",),
    ]  # fmt: skip


def test_in_one_pool_nothing_is_handed_over() -> None:
    options = Options(recipe="demo", store=Path("/store"), runtime=Runtime(), training_pool="cpu")
    found = {item.full_name: item for item in want_deployments(recipe_of(None), options)}
    assert list(found) == ["prepare/tiny", "pretrain/tiny", "stage/tiny", "evaluate/tiny"]
    assert found["pretrain/tiny"].parameters == {
        "recipe": "demo", "store": "/store", "runtime": {}, "training": None,
    }  # fmt: skip
    assert not any(item.schedules for item in found.values())


@pytest.mark.parametrize("image", [None, "wavlm:1"])
def test_all_that_is_written_to_the_server(image: str | None) -> None:
    options = Options(
        recipe="demo", store=Path("/store"), runtime=Runtime(), image=image, environment=(("A", "b"),)
    )  # fmt: skip
    deployment = want_deployments(recipe_of(None), options)[0]
    fields = deployment.fields()
    job = fields.pop("job_variables")
    assert isinstance(job, dict)
    assert set(job) == ({"env", "image"} if image else {"env"})
    assert job.get("image") == image
    environment = job["env"]
    assert isinstance(environment, dict)
    assert environment["A"] == "b"
    assert environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    assert environment["PREFECT_LOGGING_EXTRA_LOGGERS"] == "wavlm,tasks,flows"
    assert environment["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] == "ignore"
    assert fields == {
        "pool": "cpu",
        "queue": "prepare-tiny",
        "entrypoint": "flows.prepare.prepare",
        "description": "Corpora and shards of tiny: what is new is added.",
        "tags": ["data", "wavlm", "wavlm-heartbeat"],
        "parameters": {"recipe": "demo", "store": "/store", "runtime": {}},
        "schedules": {},
    }


def test_pools_and_limits() -> None:
    assert want_pools(OPTIONS) == {"cpu": None, "gpu": 2}
    assert want_pools(Options(recipe="demo", store=Path("/"), runtime=Runtime(), training_pool="cpu")) == {"cpu": None}
    assert sorted(want_limits(OPTIONS).values()) == [2, 3]


def test_a_schedule_has_the_times_and_the_time_zone_that_were_given() -> None:
    (found,) = [item for item in want_deployments(recipe_of(None), OPTIONS) if item.full_name == "prepare/tiny"]
    made = deployments._new_schedule(found, "nightly")
    assert (made.slug, made.schedule.model_dump(include={"cron", "timezone"})) == (
        "nightly", {"cron": "15 2 * * *", "timezone": "Europe/Prague"},
    )  # fmt: skip
