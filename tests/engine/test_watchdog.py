"""How long the watchdog waits: as long as a step, a compilation or a write may take, and then no longer."""

from __future__ import annotations

import faulthandler
from collections.abc import Callable

import pytest

from wavlm.engine import interrupts
from wavlm.engine.interrupts import watchdog
from wavlm.engine.ranks import COLLECTIVE_TIMEOUT


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> tuple[list[float], Callable[[float], None]]:
    """The timeouts that were set, in seconds, and a way to let time pass; the timer never runs."""
    now, timeouts = [100.0], list[float]()
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(
        faulthandler, "dump_traceback_later", lambda seconds, **_: timeouts.append(seconds - interrupts.GRACE_S)
    )
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: timeouts.append(0.0))

    def wait(seconds: float) -> None:
        now[0] += seconds

    return timeouts, wait


def test_a_hang_is_told_within_two_minutes_and_before_a_collective_gives_up() -> None:
    assert interrupts.STEP_TIMEOUT_S + interrupts.GRACE_S <= COLLECTIVE_TIMEOUT.total_seconds() <= 120


def test_the_first_step_has_more_time_and_each_later_one_ten_times_the_last(
    clock: tuple[list[float], Callable[[float], None]],
) -> None:
    timeouts, wait = clock
    step, first = interrupts.STEP_TIMEOUT_S, interrupts.FIRST_STEP_TIMEOUT_S
    with watchdog() as dog:
        wait(step)
        dog.feed()
        wait(1.0)
        dog.feed()
    assert timeouts == [max(first, step), 10 * step, max(step, 10.0), 0.0]


def test_writing_has_its_own_time_which_is_not_that_of_an_update(
    clock: tuple[list[float], Callable[[float], None]],
) -> None:
    timeouts, wait = clock
    step, writing = interrupts.STEP_TIMEOUT_S, interrupts.WRITING_TIMEOUT.total_seconds()
    with watchdog() as dog:
        dog.feed()
        with dog.patient():
            wait(10 * step)
        wait(1.0)
        dog.feed()
    assert timeouts[1:] == [step, writing + step, step, max(step, 10.0), 0.0]


def test_a_training_that_compiles_may_do_so_in_any_update(
    clock: tuple[list[float], Callable[[float], None]],
) -> None:
    timeouts, wait = clock
    compiling = interrupts.COMPILING_TIMEOUT.total_seconds()
    with watchdog(compiles=True) as dog:
        wait(1.0)
        dog.feed()
    assert timeouts[1] == compiling > interrupts.STEP_TIMEOUT_S
