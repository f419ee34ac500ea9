"""The progress of a whole run: from 0 to 100 %, by the time that each artifact takes, and never back."""

from __future__ import annotations

import logging
import sys

import pytest

from flows.work import show_time, weigh
from tasks.orchestration.progress_bar import show_progress
from tasks.orchestration.whole import Whole, current_whole, show_whole


def test_each_artifact_counts_by_its_weight() -> None:
    whole = Whole({"shards": 10.0, "model": 90.0})
    assert whole.percent(0.5) == 0.0  # nothing is being made yet
    with whole.part("shards"):
        assert whole.percent(0.5) == 5.0
    with whole.part("model"):
        assert [whole.percent(part) for part in (0.0, 0.5, 1.0)] == [10.0, 55.0, 100.0]
    assert whole.percent(0.0) == 100.0


def test_it_never_goes_back() -> None:
    whole = Whole({"model": 4.0, "scores": 1.0})
    with whole.part("model"):
        assert whole.percent(0.5) == 40.0
        assert whole.percent(0.0) == 40.0  # an input that is made again begins
        assert whole.percent(7.0) == 80.0  # a stage that counts wrongly does not take what is not its own
    with whole.part("model"):  # asked for once more: its time is spent
        assert whole.percent(1.0) == 80.0


def test_a_stage_that_fails_is_not_counted() -> None:
    whole = Whole({"model": 1.0, "scores": 1.0})
    with pytest.raises(KeyError), whole.part("model"):
        raise KeyError
    assert whole.percent(0.0) == 0.0


def test_a_run_with_nothing_to_do_is_done() -> None:
    assert Whole({}).percent(0.0) == 100.0


def test_the_lines_of_a_stage_say_how_far_the_run_is(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    caplog.set_level(logging.INFO, "tasks")
    monkeypatch.setattr(logging.getLogger("tasks"), "propagate", True)
    with show_whole({"labels": 1.0, "model": 3.0}) as whole:
        with whole.part("labels"), show_progress("labels a") as (progress, _):
            progress(1, 1)
        with whole.part("model"), show_progress("pretrain iteration 1") as (progress, _):
            progress(1, 3)
    assert current_whole() is None
    assert [line.partition("(")[2][:9] for line in caplog.messages] == ["25 % of a", "50 % of a"]


def test_without_a_time_every_artifact_weighs_the_same() -> None:
    assert weigh([], None, is_timed=True) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "text"), [(3, "1 min"), (700, "12 min"), (3 * 3600, "3 hours"), (10 * 86400, "10 days")]
)
def test_times_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert show_time(seconds) == text
