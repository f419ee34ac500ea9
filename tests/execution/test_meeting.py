"""How machines find each other: places that one of them gets, a meeting that its owner reads, a leash that is held."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.waiting import wait_until
from wavlm.engine.rendezvous import name_interface
from wavlm.execution import head, meeting
from wavlm.execution.meeting import LOST_SECONDS, Attempt, Leash, Meeting, find_address, find_way_to
from wavlm.execution.stop import StopRequest


def test_each_place_is_taken_once_and_no_more_than_there_are(tmp_path: Path) -> None:
    attempt = Attempt.begin(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: attempt.take_place(5), range(8)))
    assert sorted(place for place in taken if place is not None) == [0, 1, 2, 3, 4]
    assert taken.count(None) == 3


def test_the_meeting_is_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    attempt = Attempt.begin(tmp_path)
    assert attempt.find_meeting() is None
    called = Meeting(host="127.0.0.1", port=4, token="t" * 32)
    attempt.call(called)
    assert attempt.find_meeting() == called
    assert stat.S_IMODE((attempt.folder / meeting.MEETING).stat().st_mode) == 0o600


def test_a_leash_holds_while_it_changes_and_not_when_it_is_gone(tmp_path: Path) -> None:
    now = [0.0]
    attempt = Attempt.begin(tmp_path)
    leash = Leash(attempt, lambda: now[0])
    assert leash.holds
    for beat in range(1, 4):
        now[0] += LOST_SECONDS - 1
        attempt.beat(beat)
        assert leash.holds
    now[0] += LOST_SECONDS + 1  # the head was killed, or its machine has gone
    assert not leash.holds
    attempt.beat(99)
    assert leash.holds
    attempt.end()
    assert not leash.holds
    attempt.end()


def test_a_disk_that_fails_for_a_moment_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    attempt = Attempt.begin(tmp_path)
    leash = Leash(attempt, lambda: now[0])
    assert leash.holds

    def fail(_: Attempt | Path) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Attempt, "read_beat", fail)
    monkeypatch.setattr(Path, "exists", fail)
    assert not attempt.has_failed
    now[0] = LOST_SECONDS - 1
    assert leash.holds
    now[0] = LOST_SECONDS + 1
    assert not leash.holds


def test_an_attempt_that_ends_while_somebody_looks_for_a_place_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = Attempt.begin(tmp_path)
    look = Path.stat

    def end_first(path: Path, **how: bool) -> os.stat_result:
        if path.name == meeting.LEASH:
            attempt.end()
        return look(path, **how)

    with monkeypatch.context() as ending:
        ending.setattr(Path, "stat", end_first)
        assert Attempt.find(tmp_path) is None
    shutil.rmtree(attempt.folder.parent)
    assert attempt.take_place(2) is None


def test_the_head_outlives_a_disk_that_fails_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = Attempt.begin(tmp_path)
    assert attempt.take_place(1) == 0
    failing, read, beats = [True] * 3, Attempt.ends, []

    def ends(self: Attempt) -> list[int]:
        if failing:
            failing.pop()
            raise OSError(5, "Input/output error")
        attempt.note_end(0, 0)
        return read(self)

    def beat(self: Attempt, number: int) -> None:
        beats.append(number)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Attempt, "ends", ends)
    monkeypatch.setattr(Attempt, "beat", beat)
    monkeypatch.setattr(head, "BEAT_SECONDS", 0.0)
    waits = [sys.executable, "-c", "import os; os.read(0, 1)"]
    with StopRequest() as stop, subprocess.Popen(waits, stdin=subprocess.PIPE) as node, ThreadPoolExecutor(1) as pool:
        codes = pool.submit(head._hold, attempt, node, stop)
        wait_until(lambda: codes.done() or (not failing and len(beats) > 1))
        assert node.stdin is not None
        node.stdin.close()
        assert codes.result() == [0]


def test_the_attempt_that_goes_on_is_found_and_its_ends_are_told(tmp_path: Path) -> None:
    assert Attempt.find(tmp_path) is None
    attempt = Attempt.begin(tmp_path)
    assert Attempt.find(tmp_path) == attempt
    assert attempt.take_place(2) == 0
    attempt.note_end(0, 65)
    assert attempt.ends() == [65]
    attempt.end()
    assert Attempt.find(tmp_path) is None


def test_an_address_of_this_machine_is_found_and_loopback_leads_to_itself() -> None:
    assert socket.inet_aton(find_address())
    assert find_way_to("127.0.0.1") == "127.0.0.1"
    assert name_interface("127.0.0.1") == "lo"
    assert name_interface("203.0.113.7") == ""
