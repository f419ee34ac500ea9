"""What people see of a stage's progress where there is no terminal."""

from __future__ import annotations

import logging
import re

import pytest

from tasks.orchestration.progress_bar import show_progress, slug


def test_progress_is_a_line_at_each_tenth(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    # Straight from its logger: Prefect, once imported, keeps our logs from the root logger.
    logger = logging.getLogger("tasks.orchestration.progress_bar")
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "propagate", False)
    with (
        caplog.at_level(logging.INFO, "tasks.orchestration.progress_bar"),
        show_progress("labels dev") as (progress, say),
    ):
        for done in range(101):
            if done == 50:
                say("loss 3.1")
            progress(done, 100)
    lines = [re.sub(r"\d+ s", "N s", record.message) for record in caplog.records]
    assert len(lines) == 11
    assert lines[0] == "labels dev: 0 % after N s"
    assert lines[10] == "labels dev: 100 % after N s, loss 3.1"


def test_nothing_to_do_is_no_division_by_zero() -> None:
    with show_progress("empty") as (progress, _):
        progress(0, 0)


def test_keys_are_what_prefect_accepts() -> None:
    assert slug("labels LibriSpeech_960 mfcc-k100") == "labels-librispeech-960-mfcc-k100"
