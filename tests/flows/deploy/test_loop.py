"""The weekly loop on a server: what a recipe with a model by an alias gets, and when a refresh is due."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prefect.server.events.schemas.automations import Automation, EventTrigger
from typer.testing import CliRunner

from flows.cli.main import app
from flows.deploy.automations import REFRESH_DUE, read_automations
from flows.deploy.changes import flatten
from flows.deploy.earlier import options_of
from flows.deploy.wanted import Options, training_flow, want_deployments
from tasks.orchestration import events
from tests.tasks.conftest import recipe_of
from wavlm.errors import CodedError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.store import Store
from wavlm.specs import ModelSpec, ModelVersion, Recipe

OPTIONS = Options(
    recipe="/recipes/tiny.yaml", store=Path("/store"), runtime=Runtime(gpus=2), nightly="15 2 * * *",
    weekly="30 4 * * 6", timezone="Europe/Prague", refresh_after_hours=10.0,
)  # fmt: skip
UUID = "11111111-2222-4333-8444-555555555555"


def looping() -> Recipe:
    champion = ModelSpec(source=ModelVersion(type="registry", model="WavLM-tiny", alias="champion"))
    return recipe_of(None).model_copy(update={"models": {"champion": champion}})


def test_a_loop_is_refreshed_by_schedule_and_its_data_say_when_enough_came_in() -> None:
    recipe = looping()
    found = {item.full_name: item for item in want_deployments(recipe, OPTIONS)}
    refresh = found["refresh/tiny"]
    assert (refresh.entrypoint, refresh.pool, refresh.queue) == ("flows.refresh.refresh", "cpu", "refresh-tiny")
    assert refresh.parameters["training"] == "stage/tiny.training"
    assert {name: list(item.schedules) for name, item in found.items() if item.schedules} == {
        "prepare/tiny": ["nightly"],
        "refresh/tiny": ["weekly"],
    }
    assert found["prepare/tiny"].parameters["refresh_after_hours"] == 10.0
    assert "refresh_after_hours" not in found["refresh/tiny"].parameters
    assert (training_flow(recipe), training_flow(recipe_of(None))) == ("refresh", "pretrain")
    assert "refresh/tiny" not in {item.full_name for item in want_deployments(recipe_of(None), OPTIONS)}


@pytest.mark.parametrize("hours", [None, 10.0])
def test_a_second_deploy_remembers_the_loop(hours: float | None) -> None:
    wanted = replace(OPTIONS, refresh_after_hours=hours)
    written = {item.flow: flatten(item.fields()) for item in reversed(want_deployments(looping(), wanted))}
    assert options_of(written) == wanted


def test_the_automation_waits_for_the_event_and_starts_the_refresh() -> None:
    values = {"recipe": "tiny", "store": "/data/store", "refresh": UUID}
    (read,) = read_automations(REFRESH_DUE, values)
    automation = Automation.model_validate(read.model_dump(mode="json"))
    assert "<" not in automation.model_dump_json()
    assert isinstance(automation.trigger, EventTrigger)
    assert automation.trigger.expect == {events.REFRESH_DUE}
    (action,) = automation.actions
    assert str(action.deployment_id) == UUID  # type: ignore[union-attr]


def test_hours_of_a_recipe_without_a_loop_are_refused(tiny_recipe: Path) -> None:
    done = CliRunner().invoke(app, ["deploy", str(tiny_recipe), "--refresh-after-hours", "3"])
    assert isinstance(done.exception, CodedError)
    assert str(done.exception).startswith("REFRESH_FIXED: this recipe has no weekly loop: ")


@pytest.mark.parametrize(
    ("enough", "added", "is_due"), [(None, 50.0, False), (10.0, 9.9, False), (10.0, 10.0, True), (10.0, None, False)]
)
def test_prepare_says_how_much_came_in_and_whether_that_is_enough(
    enough: float | None, added: float | None, is_due: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr(events, "_emit", lambda name, resource, payload: told.update({name: (resource, payload)}))
    monkeypatch.setattr(events, "speech_hours", lambda *_: 100.0)
    monkeypatch.setattr(events, "hours_since_refresh", lambda *_: added)
    events.tell_prepared(looping(), Store(tmp_path), enough)
    assert told[events.PREPARED][1]["hours_added"] == added
    assert (events.REFRESH_DUE in told) == is_due
    if is_due:
        resource, payload = told[events.REFRESH_DUE]
        assert resource["prefect.resource.id"] == "wavlm.recipe.tiny"  # the automation matches these two
        assert resource["wavlm.store"] == str(tmp_path)
        assert payload["enough_hours"] == 10.0
