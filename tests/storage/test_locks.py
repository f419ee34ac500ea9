"""Locks: one holder at a time; who waits is told for whom, and gets the lock when the holder has gone."""

import multiprocessing
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from tests.waiting import LIMIT_SECONDS
from wavlm.errors import LockedError
from wavlm.storage.locks import hold_lock, wait_for_lock

context = multiprocessing.get_context("spawn")


def _hold(path: Path, held: Event, let_go: Event) -> None:
    with hold_lock(path, "the thing"):
        held.set()
        let_go.wait()


def test_a_lock_that_is_let_go_while_somebody_waits_is_his(tmp_path: Path) -> None:
    held, let_go, told = context.Event(), context.Event(), []
    holder = context.Process(target=_hold, args=(tmp_path / "a.lock", held, let_go))
    holder.start()
    assert held.wait(LIMIT_SECONDS)

    def note(owner: str, waited: float) -> None:
        told.append((owner, waited))
        let_go.set()

    with wait_for_lock(tmp_path / "a.lock", "the thing", LIMIT_SECONDS, note):
        owner, waited = told[0]
        assert owner.startswith(f"process {holder.pid} on ")
        assert waited == 0
    holder.join()


def test_waiting_ends_with_the_holder_and_the_time(tmp_path: Path) -> None:
    with (
        hold_lock(tmp_path / "a.lock", "the thing"),
        pytest.raises(LockedError, match=r"LOCKED: the thing is being made by process \d+ on .*also after 0 s; at .*"),
        wait_for_lock(tmp_path / "a.lock", "the thing", 0.01, lambda owner, waited: None),
    ):
        pass


def test_a_dead_holder_holds_nothing(tmp_path: Path) -> None:
    held, let_go = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path / "a.lock", held, let_go))
    holder.start()
    assert held.wait(LIMIT_SECONDS)
    holder.kill()
    holder.join()
    with hold_lock(tmp_path / "a.lock", "the thing"):
        pass
