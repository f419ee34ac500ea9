"""The shipped automations, as Prefect's server reads them."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import jinja2
import pytest
from prefect.server.events.schemas.automations import Automation, EventTrigger, Posture

from flows.deploy.automations import AFTER_PREPARE, LOST_RUNS, NOTIFICATIONS, read_automations
from flows.deploy.wanted import ENVIRONMENT, HEARTBEAT_TAG
from tasks.orchestration.alive import LOST, is_taken_for_lost
from tasks.orchestration.events import JUDGED, PREPARED

UUID = "11111111-2222-4333-8444-555555555555"
VALUES = {"webhook": UUID, "pretrain": UUID, "recipe": "tiny", "store": "/data/store"}
FILES = (LOST_RUNS, NOTIFICATIONS, AFTER_PREPARE)


def on_server(name: str) -> list[Automation]:
    """The automations of a file, validated by the server's own models."""
    return [Automation.model_validate(item.model_dump(mode="json")) for item in read_automations(name, VALUES)]


@pytest.mark.parametrize("name", FILES)
def test_the_server_takes_every_automation(name: str) -> None:
    for automation in on_server(name):
        assert automation.name.startswith("wavlm: ")
        assert "<" not in automation.model_dump_json()


def test_a_run_is_lost_in_less_than_two_minutes() -> None:
    automation = on_server(LOST_RUNS)[0]
    trigger = automation.trigger
    assert isinstance(trigger, EventTrigger)
    assert trigger.posture == Posture.Proactive
    granularity, slack = timedelta(seconds=5), timedelta(seconds=5)
    assert trigger.within + granularity + slack < timedelta(minutes=2)
    every = timedelta(seconds=int(ENVIRONMENT["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]))
    assert trigger.within > 3 * every  # two may be missed, as when the server is started again
    assert f"prefect.tag.{HEARTBEAT_TAG}" in trigger.model_dump_json()


def test_the_message_of_a_lost_run_is_the_one_that_runs_answer_to() -> None:
    from prefect.states import Crashed

    for automation in on_server(LOST_RUNS):
        (action,) = automation.actions
        assert is_taken_for_lost(Crashed(message=action.message))
    assert not is_taken_for_lost(Crashed(message="Flow run process exited with non-zero status code -9."))
    assert LOST


def test_no_automation_starts_runs_because_of_states_of_runs() -> None:
    (automation,) = on_server(AFTER_PREPARE)
    assert isinstance(automation.trigger, EventTrigger)
    assert automation.trigger.expect == {PREPARED}


class Drop(dict[str, Any]):
    """An object of Prefect in a template: its attributes are its items."""

    __getattr__ = dict.__getitem__


AWKWARD = 'quote " backslash \\ newline \n brace {{ 1 }} ů'


def test_the_messages_are_json_whatever_the_texts_hold() -> None:
    state = Drop(name="Failed", message=AWKWARD)
    context = {
        "flow_run": Drop(name=AWKWARD, state=state, id=UUID),
        "flow": Drop(name="pretrain"),
        "deployment": Drop(name=AWKWARD),
        "event": Drop(
            payload=Drop(
                text=AWKWARD,
                recipe="tiny",
                model=AWKWARD,
                version=3,
                champion=True,
                reason=AWKWARD,
                registry="http://x",
            )
        ),
    }
    environment = jinja2.Environment(autoescape=False)  # noqa: S701 - JSON
    environment.filters["ui_url"] = lambda _: "http://127.0.0.1/runs/1"
    for automation in on_server(NOTIFICATIONS):
        (action,) = automation.actions
        told = json.loads(environment.from_string(action.payload).render(context))
        assert AWKWARD in told["text"]
        assert re.fullmatch(r"[a-z]+\.[a-z]+", told["event"])
    verdict = on_server(NOTIFICATIONS)[1]
    assert isinstance(verdict.trigger, EventTrigger)
    assert verdict.trigger.expect == {JUDGED}
