"""A disk that does not answer is named, and not waited for without end. A pipe that nobody writes to stands for it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.waiting import wait_until
from wavlm.storage import disk_watch
from wavlm.storage.disk_watch import watch_disk

ROOT = Path(__file__).parents[2]
HANGS = """
import sys, time
from pathlib import Path
from wavlm.storage import disk_watch
disk_watch.PROBE_SECONDS = disk_watch.LOOK_SECONDS = disk_watch.SILENT_SECONDS = 0.01
disk_watch.GIVE_UP_SECONDS = 0.1
with disk_watch.watch_disk(Path(sys.argv[1])):
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROBE_SECONDS", "LOOK_SECONDS", "SILENT_SECONDS"):
        monkeypatch.setattr(disk_watch, name, 0.01)


def test_a_disk_that_answers_again_is_named_and_the_work_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock = tmp_path / "a.lock.owner"
    os.mkfifo(lock)
    with watch_disk(lock):
        wait_until(lambda: "the disk has not answered for 0 s: the work goes on when it does" in caplog.text)
        assert str(lock) in caplog.text
        os.close(os.open(lock, os.O_RDWR))  # who waits to read from it goes on
        wait_until(lambda: "the disk answers again" in caplog.text)
    os.close(os.open(lock, os.O_RDWR))


def test_a_disk_that_never_answers_ends_the_process_with_75(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock.owner"
    os.mkfifo(lock)
    done = subprocess.run(
        [sys.executable, "-c", HANGS, lock], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 75
    assert f"DISK_HUNG: the disk did not answer for 0 s; at {lock}; " in done.stderr


@pytest.mark.parametrize("is_there", [True, False])
def test_a_disk_that_answers_is_not_named(tmp_path: Path, caplog: pytest.LogCaptureFixture, *, is_there: bool) -> None:
    """Also before the lock is taken, and after it was let go."""
    lock, asked = tmp_path / "a.lock.owner", threading.Semaphore(0)
    if is_there:
        lock.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk_watch, "SILENT_SECONDS", 60.0)
        patch.setattr(disk_watch, "_ask", _noting(asked))
        with watch_disk(lock):
            for _ in range(3):
                assert asked.acquire(timeout=60)
    wait_until(lambda: all(thread.name != "disk-watch" for thread in threading.enumerate()))
    assert not caplog.records


def _noting(asked: threading.Semaphore) -> object:
    ask = disk_watch._ask

    def ask_and_note(path: Path, *, flush: bool) -> None:
        asked.release()
        ask(path, flush=flush)

    return ask_and_note


def test_a_path_is_watched_once_until_its_last_user_leaves(tmp_path: Path) -> None:
    def count() -> int:
        return sum(thread.name == "disk-watch" for thread in threading.enumerate())

    with watch_disk(tmp_path):
        with watch_disk(tmp_path), watch_disk(tmp_path / "other"):
            assert count() == 2
        wait_until(lambda: count() == 1)
    wait_until(lambda: count() == 0)


def test_a_pipe_that_a_command_line_names_is_no_silent_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "list")
    asked = threading.Semaphore(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk_watch, "_ask", _noting(asked))
        with watch_disk(tmp_path / "list", flush=False):
            for _ in range(20):
                assert asked.acquire(timeout=60)
    assert not caplog.records


def test_a_machine_without_room_for_a_thread_is_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch goes on: a disk that hangs later is named."""
    lock = tmp_path / "a.lock.owner"
    os.mkfifo(lock)
    begin, refused = disk_watch._aside, iter([True, True])

    def aside(work: Callable[[], object]) -> threading.Thread:
        if next(refused, False):
            raise RuntimeError("can't start new thread")
        return begin(work)

    monkeypatch.setattr(disk_watch, "_aside", aside)
    with watch_disk(lock):
        wait_until(lambda: "the disk has not answered" in caplog.text)
    os.close(os.open(lock, os.O_RDWR))
    assert next(refused, None) is None
