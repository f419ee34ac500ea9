"""Locks: one holder at a time; who waits is told for whom, and gets the lock when the holder has gone."""

import fcntl
import multiprocessing
import os
import threading
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from tests.waiting import LIMIT_SECONDS
from wavlm.errors import LockedError
from wavlm.storage import locks, use_locks
from wavlm.storage.locks import hold_lock, wait_for_lock
from wavlm.storage.use_locks import hold_in_use, hold_unused

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


def test_a_moment_s_look_makes_no_lock_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `refuse_held` looks: a shared lock, and no note beside it."""
    monkeypatch.setattr(locks, "LOOK_SECONDS", LIMIT_SECONDS)  # however busy the machine is
    path = tmp_path / "a.lock"
    with path.open("w") as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (look, fcntl.LOCK_UN)).start()
        with hold_lock(path, "the thing"):
            pass


@pytest.mark.parametrize("mode", [fcntl.LOCK_SH, fcntl.LOCK_EX])
def test_a_moment_s_use_makes_no_other_fail(tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use_locks, "LOOK_SECONDS", LIMIT_SECONDS)
    path = tmp_path / "a.use"
    with path.open("w") as other:
        fcntl.flock(other, mode)
        threading.Timer(0.1, fcntl.flock, (other, fcntl.LOCK_UN)).start()
        with hold_unused(path, "the thing"):
            pass
        fcntl.flock(other, fcntl.LOCK_EX)
        threading.Timer(0.1, fcntl.flock, (other, fcntl.LOCK_UN)).start()
        with hold_in_use([path]):
            pass


def test_who_moves_a_thing_away_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.use"
    with (
        hold_unused(path, "the thing"),
        pytest.raises(LockedError, match=rf"LOCKED: a is in use by process {os.getpid()} on "),
        hold_in_use([path]),
    ):
        pass
    with hold_in_use([path]):  # nothing stays held
        pass


def test_tries_of_a_lock_that_another_user_made_leave_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.lock"
    monkeypatch.setattr(locks.os, "access", lambda _, mode: mode == os.R_OK)
    monkeypatch.setattr(locks, "LOOK_SECONDS", 0.0)
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        before = len(list(Path("/dev/fd").iterdir()))
        for _ in range(5):
            with pytest.raises(LockedError, match="being made"), hold_lock(path, "the thing"):
                pass
        fcntl.flock(other, fcntl.LOCK_UN)
        with hold_lock(path, "the thing"), pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert len(list(Path("/dev/fd").iterdir())) == before
