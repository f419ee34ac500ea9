"""What a failure prints and returns, and whom `gc` asks what is registered."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tasks.registry.lookup
from flows.cli import console
from flows.cli.house import _ask_registry
from wavlm.errors import BadDataError, LockedError, ServiceMissingError
from wavlm.pipeline.garbage import kept
from wavlm.pipeline.store import Store


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadDataError("CODE", "what; where; do"), 65),
        (ServiceMissingError("CODE", "what; where; do"), 69),
        (LockedError("LOCKED", "what; where; do"), 77),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "here"), 73),
        (console.InterruptedBySignal("SIGTERM"), 75),
        (ValueError("a bug"), None),
        (AssertionError(), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_people_act_on_has_a_code_and_a_bug_has_none(error: BaseException, code: int | None) -> None:
    assert console.exit_code(error) == code


def test_a_failure_is_one_line_with_its_notes(capsys: pytest.CaptureFixture[str]) -> None:
    error = BadDataError("CODE", "[what] is " + 300 * "x" + "; at /a/b; run wavlm sync")
    error.add_note("a note about wavlm sync")
    console.print_error(error, lambda text: text.replace("wavlm sync", "wavlm sync demo"))
    assert capsys.readouterr().err.splitlines() == [
        "CODE: [what] is " + 300 * "x" + "; at /a/b; run wavlm sync demo",
        "a note about wavlm sync demo",
    ]


def test_a_stop_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_error(console.InterruptedBySignal("SIGINT"))
    assert "STOPPED: by SIGINT; run the same command again to continue" in capsys.readouterr().err


def test_our_own_logs_go_to_stderr_complete_and_no_others() -> None:
    before = {
        name: (log.handlers, log.level, log.propagate) for name in console.OURS for log in [logging.getLogger(name)]
    }
    try:
        console.set_up_logging(lambda text: f"{text}!")
        for name in console.OURS:
            logger = logging.getLogger(name)
            (handler,) = logger.handlers
            assert (logger.level, logger.propagate) == (logging.INFO, False)
            record = logger.makeRecord(name, logging.INFO, "file", 1, "made %d", (3,), None)
            assert handler.filter(record)
            assert record.getMessage() == "made 3!"
        assert set(console.OURS) == {"wavlm", "tasks", "flows"}
    finally:
        for name, (handlers, level, propagate) in before.items():
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)


def test_a_store_without_registrations_asks_no_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.registry.lookup, "find_deleted", None)
    asks: Any = _ask_registry(Store(tmp_path))
    assert asks(SimpleNamespace(name="demo", version=1, run_id="r")) is True


def test_a_registry_that_does_not_answer_has_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = SimpleNamespace(name="demo", version=1, run_id="r")
    monkeypatch.setattr(kept, "find_registrations", lambda _: [(tmp_path, facts)])

    def down(*_: object) -> None:
        raise ServiceMissingError("MLFLOW_DOWN", "it does not answer; there; start it")

    monkeypatch.setattr(tasks.registry.lookup, "find_deleted", down)
    is_there: Any = _ask_registry(Store(tmp_path))
    assert is_there(facts) is True
    monkeypatch.setattr(tasks.registry.lookup, "find_deleted", lambda *_: frozenset("r"))
    asks: Any = _ask_registry(Store(tmp_path))
    assert [asks(SimpleNamespace(run_id=run_id)) for run_id in "rs"] == [False, True]
