"""A worker does one stage after another in a process of its own: results, errors, progress and its end arrive."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import LIMIT_SECONDS, wait_until
from wavlm.errors import BadDataError, WorkerDiedError
from wavlm.execution.progress import Progress, no_progress
from wavlm.execution.worker import Worker, Workers


def tell_process(job: str, progress: Progress) -> tuple[str, int]:
    progress(1.0, 4.0)
    return job, os.getpid()


def refuse(job: str, _: Progress) -> None:
    raise BadDataError("SPLIT_EMPTY", f"nothing in {job}")


def crash(_: str, __: Progress) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def tell_and_wait(path: str, progress: Progress) -> None:
    progress(1.0, 4.0)
    Path(path).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(LIMIT_SECONDS)


@pytest.fixture
def workers() -> Iterator[Workers]:
    lent = Workers()
    yield lent
    lent.end()


def test_a_worker_is_another_process_and_is_kept_for_the_next_stage(workers: Workers) -> None:
    first = workers.take()
    second = workers.take()
    job, process = first.do(tell_process, "one", no_progress)
    assert job == "one"
    assert process not in {os.getpid(), second.do(tell_process, "two", no_progress)[1]}
    assert (first.number, second.number) == (0, 1)
    workers.give_back(first)
    assert workers.take().do(tell_process, "three", no_progress) == ("three", process)


def test_errors_of_the_work_arrive_and_the_worker_goes_on(workers: Workers) -> None:
    worker = workers.take()
    with pytest.raises(BadDataError, match="nothing in the corpus") as caught:
        worker.do(refuse, "the corpus", no_progress)
    assert caught.value.code == "SPLIT_EMPTY"
    assert worker.do(tell_process, "one", no_progress)[0] == "one"


def test_a_worker_that_dies_is_named_and_another_one_takes_its_number(workers: Workers) -> None:
    worker = workers.take()
    with pytest.raises(WorkerDiedError, match="at KS of base"):
        worker.do(crash, "KS of base", no_progress)
    workers.give_back(worker)
    follower = workers.take()
    assert follower is not worker
    assert follower.number == 0
    assert follower.do(tell_process, "one", no_progress)[0] == "one"


def test_progress_arrives_and_the_end_of_the_run_ends_the_process(tmp_path: Path, workers: Workers) -> None:
    worker = workers.take()
    seen: list[float] = []
    errors: list[WorkerDiedError] = []
    path = tmp_path / "pid"

    def run() -> None:
        try:
            worker.do(tell_and_wait, str(path), lambda done, total: seen.append(done / total))
        except WorkerDiedError as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_until(lambda: 0.25 in seen, "the progress of the work")
    process = int(path.read_text(encoding="utf-8"))
    workers.end()
    thread.join(LIMIT_SECONDS)
    assert len(errors) == 1
    wait_until(lambda: not is_running(process), "the end of the process")


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_alone_can_be_ended_twice() -> None:
    worker = Worker(0)
    worker.end()
    worker.end()
    assert not worker.is_alive
