"""Locks: one holder at a time; who waits is told for whom, and gets the lock when the holder has gone."""

import multiprocessing
import os
import threading
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from tests.waiting import LIMIT_SECONDS
from wavlm.errors import LockedError
from wavlm.storage import leases, locks, use_locks
from wavlm.storage.holders import SHARED, find_owner
from wavlm.storage.leases import Lease
from wavlm.storage.locks import hold_lock, hold_share, try_alone, try_shared, wait_for_lock
from wavlm.storage.use_locks import hold_in_use, hold_unused, refuse_held

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


def test_a_moment_s_hold_makes_no_other_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (locks, use_locks):
        monkeypatch.setattr(module, "LOOK_SECONDS", LIMIT_SECONDS)  # however busy the machine is
    path = tmp_path / "a.lock"
    for hold in (lambda: hold_lock(path, "it"), lambda: hold_unused(path, "it"), lambda: hold_in_use([path])):
        other = try_alone(path)
        assert isinstance(other, Lease)
        threading.Timer(0.1, other.release).start()
        with hold():
            pass
    other = try_shared(path)
    assert isinstance(other, Lease)
    threading.Timer(0.1, other.release).start()
    with hold_unused(path, "it"):
        pass
    assert list(tmp_path.iterdir()) == []


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


def test_many_share_a_lock_that_nobody_then_holds_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with hold_share(path, "the thing"), hold_share(path, "the thing"):
        with pytest.raises(LockedError, match="the thing is being made by process"), hold_lock(path, "the thing"):
            pass
        with pytest.raises(LockedError, match="being made"):
            refuse_held(path, "the thing")
        assert (find_owner(path) or "").startswith(f"process {os.getpid()} on ")
    with hold_lock(path, "the thing"):
        with pytest.raises(LockedError, match="the thing is being made by"), hold_share(path, "the thing"):
            pass
        assert find_owner(path)
    assert find_owner(path) is None
    refuse_held(path, "the thing")
    assert list(tmp_path.iterdir()) == []


def test_tries_of_a_held_lock_leave_nothing_open_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.lock"
    monkeypatch.setattr(locks, "LOOK_SECONDS", 0.0)
    with hold_lock(path, "the thing"):
        before = len(list(Path("/dev/fd").iterdir())), sorted(tmp_path.iterdir())
        for _ in range(5):
            with pytest.raises(LockedError, match="being made"), hold_lock(path, "the thing"):
                pass
        assert (len(list(Path("/dev/fd").iterdir())), sorted(tmp_path.iterdir())) == before


def test_one_that_shares_a_lock_from_the_moment_on_in_which_it_was_free_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, shared = tmp_path / "a.lock", []

    def take_late(note: Path) -> Lease | None:
        found = leases.take(note)
        if not shared:
            shared.append(leases.take(path.with_name(f"{path.name}.x{SHARED}")))
        return found

    monkeypatch.setattr(locks, "take", take_late)
    assert not isinstance(try_alone(path), Lease)
    shared[0].release()
    assert list(tmp_path.iterdir()) == []
