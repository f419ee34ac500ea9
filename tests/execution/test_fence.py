"""The fence: functions that hang or crash end in an error that says so, and the next call works."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.waiting import wait_until
from wavlm.errors import BadDataError, ServiceMissingError, WorkerDiedError
from wavlm.execution.fence import STALL_SECONDS, Fence, FencePool, LostCallError, open_fence


def count_to(number: int) -> Iterator[int]:
    yield from range(number)


def hang(_: str) -> Iterator[int]:
    yield 1
    time.sleep(100_000)


def crash(number: int) -> Iterator[int]:
    yield 1
    os.kill(os.getpid(), number)
    time.sleep(10)


def leave(code: int) -> Iterator[int]:
    yield 1
    os._exit(code)


def refuse(what: str) -> Iterator[int]:
    yield 1
    raise BadDataError("SOME_CODE", what)


class LocalError(Exception):
    """An error that cannot be pickled: it holds a lock."""

    def __init__(self, what: str) -> None:
        super().__init__(what, threading.Lock())


def refuse_oddly() -> Iterator[int]:
    yield 1
    raise LocalError("odd")


def open_and_read(path: Path) -> bytes:
    return path.read_bytes()


def send_half_a_message() -> Iterator[int]:
    """Write a part of a message of 1000 bytes to the parent, and die."""
    for number in range(3, 100):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.write(number, (1000).to_bytes(4, "big") + b"half")
    os.kill(os.getpid(), signal.SIGKILL)
    yield 1


def has_ended(process: int) -> bool:
    """Whether a process of a dead or waiting parent runs no more."""
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] in "ZX"


def pid() -> int:
    return os.getpid()


def test_results_come_in_order_from_another_process() -> None:
    with open_fence() as fence:
        assert list(fence.iterate(count_to, 5)) == [0, 1, 2, 3, 4]
        assert list(fence.iterate(count_to, 0)) == []
        first = fence.call(pid)
        assert first != os.getpid()
        assert fence.call(pid) == first


def test_no_limit_means_no_other_process() -> None:
    with open_fence(stall_seconds=0) as fence:
        assert fence.call(pid) == os.getpid()
        assert list(fence.iterate(count_to, 3)) == [0, 1, 2]


def test_a_function_that_hangs_is_killed_and_the_next_call_works() -> None:
    with open_fence() as fence:
        before = fence.call(pid)
        with pytest.raises(LostCallError, match="no data for 1 s") as caught:
            call_patiently_no_more(fence, hang, "a")
        assert caught.value.kind == "stalled"
        assert not Path(f"/proc/{before}").exists() or sys.platform != "linux"
        assert list(fence.iterate(count_to, 2)) == [0, 1]


def call_patiently_no_more(fence: Fence, function: Callable[[str], Iterator[int]], what: str) -> None:
    """A call that hangs, under a short limit; calls that end keep the long limit, for a busy machine."""
    fence.stall_seconds = 1.0
    try:
        list(fence.iterate(function, what))
    finally:
        fence.stall_seconds = STALL_SECONDS


def test_a_pipe_without_a_writer_is_a_stall(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with open_fence(stall_seconds=1.0) as fence, pytest.raises(LostCallError, match="no data"):
        fence.call(open_and_read, tmp_path / "fifo")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE])
def test_a_crash_is_told_with_its_signal(number: signal.Signals) -> None:
    with open_fence() as fence:
        with pytest.raises(LostCallError, match=number.name) as caught:
            list(fence.iterate(crash, number))
        assert caught.value.kind == "crashed"
        assert list(fence.iterate(count_to, 2)) == [0, 1]


def test_a_library_that_calls_exit_is_a_crash() -> None:
    with open_fence() as fence, pytest.raises(LostCallError, match="exit code 3"):
        list(fence.iterate(leave, 3))


def test_a_kill_from_outside_is_no_fault_of_the_file() -> None:
    with open_fence() as fence, pytest.raises(WorkerDiedError, match=r"WORKER_DIED: .*memory.*; run|memory"):
        list(fence.iterate(crash, signal.SIGKILL))


def test_an_idle_child_that_was_killed_is_told_and_replaced() -> None:
    with open_fence() as fence:
        child = fence.call(pid)
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: has_ended(child))
        with pytest.raises(WorkerDiedError, match="WORKER_DIED"):
            fence.call(pid)
        assert fence.call(pid) != child


def test_a_child_that_is_killed_in_the_middle_of_a_message_is_told_and_replaced() -> None:
    with open_fence() as fence:
        with pytest.raises(WorkerDiedError, match="WORKER_DIED"):
            list(fence.iterate(send_half_a_message))
        assert list(fence.iterate(count_to, 2)) == [0, 1]


def test_errors_keep_their_type_and_code_and_leave_the_fence_usable() -> None:
    with open_fence() as fence:
        with pytest.raises(BadDataError, match="SOME_CODE: bad"):
            list(fence.iterate(refuse, "bad"))
        with pytest.raises(RuntimeError, match="LocalError"):
            list(fence.iterate(refuse_oddly))
        assert list(fence.iterate(count_to, 2)) == [0, 1]


def test_results_of_an_abandoned_call_never_reach_the_next() -> None:
    with open_fence() as fence:
        results = fence.iterate(count_to, 100)
        assert next(results) == 0
        results.close()  # type: ignore[attr-defined]
        assert list(fence.iterate(count_to, 2)) == [0, 1]


@pytest.mark.slow
def test_stalls_in_a_row_are_a_fault_of_the_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavlm.execution.fence.MAX_STALLS", 2)
    with open_fence() as fence:
        for _ in range(2):  # a call that ends is between them
            with pytest.raises(LostCallError):
                call_patiently_no_more(fence, hang, "a")
            fence.call(pid)
        with pytest.raises(LostCallError):
            call_patiently_no_more(fence, hang, "a")
        with pytest.raises(ServiceMissingError, match=r"STORAGE_STALLED: .*; check the disk"):
            call_patiently_no_more(fence, hang, "a")


ORPHAN = """
import os, sys, time
from tests.execution.test_fence import pid, hang
from wavlm.execution.fence import Fence

fence = Fence()
print(fence.call(pid), flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses PR_SET_PDEATHSIG")
def test_the_child_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, text=True, check=False)
    child = int(done.stdout)
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: not Path(f"/proc/{child}").exists())


def test_threads_share_fences_and_each_call_has_one_alone() -> None:
    with FencePool(2) as fences, ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda number: fences.finish(count_to, number), range(1, 30)))
        assert results == list(range(29))
        assert len({*threads.map(lambda _: fences.call(pid), range(20))}) <= 2
