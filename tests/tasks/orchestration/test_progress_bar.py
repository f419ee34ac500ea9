"""What people see of a stage's progress where there is no terminal."""

from __future__ import annotations

import contextlib
import logging
import re
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import ProgressColumn

from tasks.orchestration import progress_bar
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
    assert lines[3] == "labels dev: 30 % after N s, N s left"
    assert lines[10] == "labels dev: 100 % after N s, loss 3.1"


def test_what_an_earlier_attempt_did_says_nothing_about_the_time_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It continues at 890 of 1,000 and does 30 in 10 s: the other 80 take 27 s, not 10 s as all 920 would say."""
    logger = logging.getLogger("tasks.orchestration.progress_bar")
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "level", logging.INFO)
    monkeypatch.setattr(logger, "propagate", False)
    clock = iter([0.0, 100.0, 110.0, 150.0])  # the start, and each call
    monkeypatch.setattr(progress_bar, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with show_progress("train") as (progress, _):
        progress(890, 1000)
        progress(920, 1000)
        progress(1000, 1000)
    assert [record.message for record in caplog.records] == [
        "train: 80 % after 100 s",
        "train: 90 % after 110 s, 27 s left",
        "train: 100 % after 150 s",
    ]


@pytest.mark.parametrize("resumed", [0, 900])
def test_the_bar_estimates_from_what_this_attempt_does(resumed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    made: list[Bars] = []

    def bars_of(*columns: ProgressColumn, console: Console) -> Bars:
        made.append(Bars(*columns, console=console, get_time=lambda: clock[0]))
        return made[0]

    monkeypatch.setattr(progress_bar, "Bars", bars_of)
    with progress_bar._bar("train") as (progress, _):
        progress(0, 1000)
        for step in range(1, 11):
            clock[0] += 5.0
            progress(resumed + step, 1000)
        assert made[0].tasks[0].time_remaining == pytest.approx(5 * (1000 - resumed - 10), abs=1)
    assert made[0].tasks[0].finished


def test_a_stage_that_ends_early_ends_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[float] = []
    monkeypatch.setattr(progress_bar, "create_progress_artifact", lambda *_, **__: 1)
    monkeypatch.setattr(progress_bar, "update_progress_artifact", lambda _, percent: shown.append(percent))
    with progress_bar._artifact("codebook") as publish:
        publish(3, 25)  # k-means has converged
    assert shown[-1] == 100
    with contextlib.suppress(ValueError), progress_bar._artifact("codebook") as publish:
        publish(3, 25)
        raise ValueError
    assert shown[-1] == 12


def test_nothing_to_do_is_no_division_by_zero() -> None:
    with show_progress("empty") as (progress, _):
        progress(0, 0)


def test_keys_are_what_prefect_accepts() -> None:
    assert slug("labels LibriSpeech_960 mfcc-k100") == "labels-librispeech-960-mfcc-k100"
