"""Events for automations, limits over machines, and the answer of a run that is taken for lost: none fails the work."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.states import Completed, Crashed, Running

from tasks.orchestration import alive, events, limits
from tasks.orchestration.alive import answer_when_lost
from tasks.orchestration.events import JUDGED, tell_verdict
from tasks.orchestration.limits import DOWNLOAD, hold_slot
from wavlm.pipeline.registration import RegistrationFacts

FACTS = RegistrationFacts(
    name="wavlm-tiny", version=3, run_id="1", uri="http://mlflow", source="s", sha256="0", aliases=(), champion="better"
)
RECIPE: Any = SimpleNamespace(name="tiny")


def in_run(monkeypatch: pytest.MonkeyPatch, module: Any, **run: object) -> None:
    context = SimpleNamespace(flow_run=SimpleNamespace(**run))
    monkeypatch.setattr(module, "FlowRunContext", SimpleNamespace(get=lambda: context))


def test_a_verdict_is_told_from_a_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(events, "emit_event", lambda *args, **kwargs: sent.append((args, kwargs)))
    tell_verdict(RECIPE, FACTS, is_champion=True)
    assert not sent
    in_run(monkeypatch, events)
    tell_verdict(RECIPE, FACTS, is_champion=True)
    (((event, resource), rest),) = sent
    assert event == JUDGED
    assert resource["prefect.resource.id"] == "wavlm.model.wavlm-tiny.3"
    assert rest["payload"]["text"] == "wavlm-tiny version 3 is champion: better"


def test_a_server_that_is_gone_fails_no_registration(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(events, "emit_event", refuse)
    in_run(monkeypatch, events)
    with caplog.at_level(logging.WARNING):
        tell_verdict(RECIPE, FACTS, is_champion=False)
    assert "refused" in caplog.text


def test_work_goes_on_without_a_slot_if_the_server_is_gone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**_: object) -> None:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(limits, "TaskRunContext", SimpleNamespace(get=object))
    monkeypatch.setattr(limits, "open_prefect", refuse)
    done = []
    with caplog.at_level(logging.WARNING), hold_slot(DOWNLOAD):
        done.append(1)
    assert done
    assert "refused" in caplog.text


def test_an_error_of_the_work_is_not_taken_for_one_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(httpx.ConnectError), hold_slot(DOWNLOAD):
        raise httpx.ConnectError("of the download itself")


class Server:
    """A server that holds the state of one run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state: object) -> None:
        self.state: Any = state
        self.looked = threading.Semaphore(0)
        self.written: list[Any] = []
        monkeypatch.setattr(alive, "LOOK_SECONDS", 0.01)
        monkeypatch.setattr(alive, "open_prefect", lambda **_: self)
        monkeypatch.setattr(alive, "emit_event", lambda *_: None)
        in_run(monkeypatch, alive, id=uuid4(), deployment_id=uuid4())

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read_flow_run(self, _: object) -> object:
        self.looked.release()
        return SimpleNamespace(state=self.state)

    def set_flow_run_state(self, _: object, state: Any, *, force: bool) -> None:
        self.written.append(state)
        self.state = state

    def look_twice(self) -> None:
        for _ in range(2):
            assert self.looked.acquire(timeout=60)


def test_a_run_that_is_taken_for_lost_says_that_it_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, Crashed(message="LOST: no heartbeat for 105 s; ..."))
    with answer_when_lost():
        server.look_twice()
    assert [state.type.value for state in server.written] == ["RUNNING"]


@pytest.mark.parametrize("state", [Running(), Completed(), Crashed(message="killed by a signal")])
def test_no_other_state_is_touched(monkeypatch: pytest.MonkeyPatch, state: object) -> None:
    server = Server(monkeypatch, state)
    with answer_when_lost():
        server.look_twice()
    assert not server.written


def test_nothing_is_written_once_the_work_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, Running())
    with answer_when_lost():
        server.look_twice()
    server.state = Crashed(message="LOST: no heartbeat for 105 s; ...")
    assert not server.looked.acquire(timeout=0.2) or not server.written
