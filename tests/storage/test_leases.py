"""Leases: who holds one, who has ended, and who of several takes over what an ended one left."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.waiting import LIMIT_SECONDS, wait_until
from wavlm.errors import LockedError
from wavlm.storage import leases, locks
from wavlm.storage.holders import describe_self, find_owner, read_holder
from wavlm.storage.leases import LEASE_SECONDS, Lease, find_holder, take
from wavlm.storage.locks import hold_lock, hold_share, require_held


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock and the sleep of those that look at leases."""
    clock = Clock()
    for module in (leases, locks):
        monkeypatch.setattr(module, "time", clock)
    return clock


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.on_sleep: list[object] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        if threading.current_thread() is not threading.main_thread():
            time.sleep(min(seconds, 0.05))  # the thread that beats: its own work is not tested by this clock
            return
        self.now += seconds


def leave(path: Path, **changes: object) -> Path:
    """The file of a holder on another machine, which may live."""
    fields = {**json.loads(describe_self("theirs")), "machine": "another/boot/pid", "host": "another", **changes}
    note = path.with_name(f"{path.name}.owner")
    note.write_text(json.dumps(fields))
    return note


def beat(note: Path) -> None:
    os.utime(note, ns=(note.stat().st_atime_ns, note.stat().st_mtime_ns + 1_000_000_000))


def test_a_holder_on_another_machine_that_gives_no_sign_of_life_is_found_after_the_lease(
    tmp_path: Path, clock: Clock
) -> None:
    leave(tmp_path / "a.lock")
    began = clock.now
    with hold_lock(tmp_path / "a.lock", "it"):
        assert LEASE_SECONDS <= clock.now - began <= LEASE_SECONDS + 5
    assert list(tmp_path.iterdir()) == []


def test_a_holder_on_another_machine_that_beats_holds(tmp_path: Path, clock: Clock) -> None:
    note = leave(tmp_path / "a.lock")
    for _ in range(5):  # as a run that tries again and again
        began = clock.now
        clock_beats = threading.Event()

        def on_wait(_owner: str, waited: float) -> None:
            if waited >= leases.BEAT_SECONDS and not clock_beats.is_set():  # noqa: B023
                clock_beats.set()  # noqa: B023
                beat(note)

        with pytest.raises(LockedError, match="on another"), locks.wait_for_lock(tmp_path / "a.lock", "it", 1, on_wait):
            pass
        assert clock.now - began < leases.BEAT_SECONDS + 2
        clock.now += 5.0


def test_time_in_which_the_disk_did_not_answer_does_not_count(tmp_path: Path, clock: Clock) -> None:
    note = leave(tmp_path / "a.lock")
    for _ in range(3):
        assert find_holder(note) is not None
        clock.now += 10 * LEASE_SECONDS  # the look itself took so long, and so did the holder's beat
    clock.now += 1.0
    assert find_holder(note) is not None


def test_the_silence_of_a_holder_counts_over_several_attempts(tmp_path: Path, clock: Clock) -> None:
    """A run that waits begins again and again; none of its attempts is as long as a lease."""
    note = leave(tmp_path / "a.lock")
    looks = 0
    while find_holder(note) is not None:
        clock.now += 5.0
        looks += 1
        assert looks < 100
    assert 5.0 * looks >= LEASE_SECONDS


def test_a_holder_of_this_machine_holds_while_its_process_runs_however_long_it_is_silent(
    tmp_path: Path, clock: Clock
) -> None:
    fields = json.loads(describe_self("mine"))
    note = leave(tmp_path / "a.lock", **fields)
    for _ in range(100):
        assert find_holder(note) is not None
        clock.now += 5.0


@pytest.mark.parametrize("how", ["ended", "zombie", "number used again", "of an earlier version"])
def test_a_holder_of_this_machine_that_has_ended_is_found_at_once(tmp_path: Path, how: str) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    began = Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[19]
    fields: dict[str, object] = {"pid": child, "started": began}
    if how == "zombie":
        wait_until(lambda: Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z", "a zombie")
    else:
        os.waitpid(child, 0)
    if how == "number used again":
        fields = {"pid": os.getpid(), "started": "1"}
    if how == "of an earlier version":
        fields = {"pid": child, "machine": None, "host": json.loads(describe_self(""))["host"]}
    note = leave(tmp_path / "a.lock", **{**json.loads(describe_self("theirs")), **fields})
    assert find_owner(tmp_path / "a.lock") is None
    assert find_holder(note) is None
    assert list(tmp_path.iterdir()) == []
    if how == "zombie":
        os.waitpid(child, 0)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": "x", "host": 1}', "\x00"])
def test_a_note_that_says_nothing_is_believed_for_a_lease(tmp_path: Path, clock: Clock, text: str) -> None:
    (tmp_path / "a.lock.owner").write_text(text)
    with hold_lock(tmp_path / "a.lock", "it"):
        pass
    assert clock.now - 1000.0 >= LEASE_SECONDS


def test_of_many_that_find_an_ended_holder_one_holds(tmp_path: Path) -> None:
    """All stand behind one line, and go at once: many times, because the moment is short."""
    for round_number in range(30):
        path = tmp_path / f"{round_number}.lock"
        leave(path, **{**json.loads(describe_self("dead")), "started": "1"})
        line, held = threading.Barrier(8), []

        def run(path: Path = path, line: threading.Barrier = line, held: list[Lease] = held) -> None:
            line.wait()
            found = locks.try_alone(path)
            if isinstance(found, Lease):
                held.append(found)

        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_SECONDS)
        assert len(held) <= 1
        with_it = held[0] if held else locks.try_alone(path)  # all may have stepped back for one that had stepped back
        assert isinstance(with_it, Lease)
        assert with_it.is_ours
        with_it.release()
        assert not list(tmp_path.iterdir())


def test_who_removes_an_ended_holder_s_file_late_leaves_that_of_the_next_one(tmp_path: Path) -> None:
    """It has found the ended one, and stands still before it removes; meanwhile others took over, and hold."""
    note = leave(tmp_path / "a.lock", **{**json.loads(describe_self("dead")), "started": "1"})
    ended = read_holder(note)
    assert ended is not None
    next_one = locks.try_alone(tmp_path / "a.lock")
    assert isinstance(next_one, Lease)
    assert leases._remove_ended(note, ended) is False
    assert next_one.is_ours
    next_one.release()
    assert list(tmp_path.iterdir()) == []


def test_one_that_died_while_it_removed_an_ended_holder_s_file_holds_up_nobody(tmp_path: Path) -> None:
    note = leave(tmp_path / "a.lock", **{**json.loads(describe_self("dead")), "started": "1"})
    right = note.with_name(f"{note.name}.dead.dead")
    right.write_text(json.dumps({**json.loads(describe_self("remover")), "started": "1"}))
    with hold_lock(tmp_path / "a.lock", "it"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_who_was_taken_for_ended_learns_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[bool] = []
    with hold_lock(tmp_path / "a.lock", "it", lambda: told.append(True)) as lease:
        require_held(lease, "it")
        leave(tmp_path / "a.lock")
        with pytest.raises(LockedError, match=r"LEASE_LOST: it was taken over .*; at .*a\.lock\.owner; see to"):
            require_held(lease, "it")
        leases._renew(lease)
        leases._renew(lease)
        assert "lost a lock" in caplog.text
        assert told == [True]
    assert find_owner(tmp_path / "a.lock")  # that of the other stays


def test_a_beat_renews_the_file_and_an_answer_that_fails_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold_lock(tmp_path / "a.lock", "it") as lease:
        os.utime(lease.path, (1, 1))
        with monkeypatch.context() as broken:
            broken.setattr(leases.os, "utime", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "no answer")))
            for _ in range(5):
                leases._renew(lease)
        assert not lease.is_lost
        leases._renew(lease)
        assert time.time() - lease.path.stat().st_mtime < 3600


def test_a_disk_that_does_not_answer_is_not_taken_for_another_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    read, failing = Path.read_bytes, [True] * 5
    with hold_lock(tmp_path / "a.lock", "it", lambda: told.append(True)) as lease:

        def fail(path: Path) -> bytes:
            if path == lease.path and failing and failing.pop():
                raise OSError(errno.EIO, "no answer", str(path))
            return read(path)

        monkeypatch.setattr(Path, "read_bytes", fail)
        for _ in range(4):
            leases._renew(lease)
        assert not lease.is_lost
        assert told == []
        require_held(lease, "it")  # which waits for an answer
        assert not failing


def test_beats_go_on_by_themselves_and_not_in_a_forked_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(leases, "_beats", leases._Beats())  # whose thread does not sleep longer already
    lease = take(tmp_path / "a.owner")
    assert lease is not None
    child = os.fork()
    if child == 0:
        lease.release()  # as cleaning up in a child would
        os._exit(0)
    os.waitpid(child, 0)
    for _ in range(2):
        os.utime(lease.path, (1, 1))
        wait_until(lambda: lease.path.stat().st_mtime > 1, "a beat")
    lease.release()
    assert replace(lease).token  # a value
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_hard_links_will_do(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(leases.os, "link", refuse)
    monkeypatch.setattr(locks, "LOOK_SECONDS", 0.0)
    with hold_lock(tmp_path / "a.lock", "it"), pytest.raises(LockedError), hold_lock(tmp_path / "a.lock", "it"):
        pass
    with hold_share(tmp_path / "a.lock", "it"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_answer_of_a_server_that_was_lost_is_not_taken_for_another_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS sends a request again: the first has made the link, the second finds that it exists."""
    link = os.link

    def link_twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(leases.os, "link", link_twice)
    with hold_lock(tmp_path / "a.lock", "it") as lease:
        assert lease.is_ours


@pytest.mark.parametrize("number", [None, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_kernel_locks_that_do_nothing_or_are_refused_change_nothing(
    tmp_path: Path, number: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def do_nothing(*_: object) -> None:
        if number is not None:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks, "LOOK_SECONDS", 0.0)
    for name in ("flock", "lockf", "fcntl"):
        monkeypatch.setattr(fcntl, name, do_nothing)
    with (
        hold_lock(tmp_path / "a.lock", "it"),
        pytest.raises(LockedError, match="LOCKED"),
        hold_lock(tmp_path / "a.lock", "it"),
    ):
        pass


@pytest.mark.parametrize("back", ["before", "after", "never"])
def test_a_hold_ends_also_while_its_file_is_put_aside_by_who_removes_an_ended_one(tmp_path: Path, back: str) -> None:
    """Found by chance: a file that was put back after its holder had let go held for as long as that process ran."""
    path = tmp_path / "a.lock.owner"
    lease = take(path)
    assert lease
    gone = path.with_name(f"{path.name}.of-an-ended-one{leases.ASIDE}")
    path.rename(gone)
    if back == "before":
        os.link(gone, path)
    lease.release()
    if back == "after":
        with pytest.raises(FileNotFoundError):
            os.link(gone, path)
    assert list(tmp_path.iterdir()) == []


def test_a_hold_that_ends_leaves_what_another_process_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.lock.owner"
    lease = take(path)
    assert lease
    other = leave(tmp_path / "b").rename(tmp_path / f"{path.name}.of-an-ended-one{leases.ASIDE}")
    lease.release()
    assert list(tmp_path.iterdir()) == [other]
