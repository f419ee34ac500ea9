"""The contract of `run_parts`, on the backend in use: worker processes, results in order."""

import errno
import logging
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.waiting import wait_until
from wavlm.errors import TRANSIENT, BadDataError, CannotWriteError, Code, StoppedError, WorkerDiedError
from wavlm.errors.boundary import to_coded
from wavlm.execution import attempts, outcomes
from wavlm.execution.parts import run_parts
from wavlm.execution.progress import no_progress


def square_slowly_if_small(part: int) -> tuple[int, int]:
    time.sleep(0.2 if part == 0 else 0.0)
    return part * part, os.getpid()


def note_or_refuse(part: int, folder: Path, refused: set[int]) -> int:
    if part in refused:
        raise BadDataError("SOME_CODE", f"part {part} is bad; in it; leave it out")
    (folder / str(part)).touch()
    return part


def fill_disk(part: int, folder: Path) -> None:
    (folder / str(part)).touch()
    raise CannotWriteError("DISK_FULL", f"no space left to write; at {part}; free space and run again")


def fail_first(part: int, folder: Path, times: int, number: int) -> int:
    """A part whose storage fails so many times."""
    with (folder / str(part)).open("a+") as file:
        file.write("x")
        if file.tell() <= times:
            raise OSError(number, os.strerror(number), "/data/a.flac")
    return part


def raise_it(part: Exception) -> None:
    raise part


def die_at_two(part: int, folder: Path) -> int:
    if part == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / str(part)).touch()
    return part


def die_once(part: int, folder: Path) -> int:
    if part == 2 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return part


def without_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between attempts take no time; they are noted in the list."""
    slept: list[float] = []
    monkeypatch.setattr(attempts, "_sleep", slept.append)
    return slept


@pytest.mark.slow
def test_results_are_in_part_order_and_made_by_other_processes() -> None:
    results = run_parts(range(6), square_slowly_if_small, workers=2, progress=no_progress)
    assert [value for value, _ in results] == [0, 1, 4, 9, 16, 25]
    assert os.getpid() not in {pid for _, pid in results}


def test_one_worker_is_this_process() -> None:
    results = run_parts([1, 2], square_slowly_if_small, workers=1, progress=no_progress)
    assert results == [(1, os.getpid()), (4, os.getpid())]


def test_progress_counts_parts_up_to_all_of_them() -> None:
    seen: list[tuple[float, float]] = []
    run_parts([1, 2, 3], abs, workers=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_no_parts_give_no_results() -> None:
    assert run_parts([], abs, workers=2, progress=no_progress) == []


def own_number(part: int) -> str:
    time.sleep(0.1)
    return os.environ["NUMBER_OF_WORKER"]


def note_number(number: int) -> None:
    os.environ["NUMBER_OF_WORKER"] = str(number)


@pytest.mark.slow
def test_each_worker_has_a_number_of_its_own_from_0_on() -> None:
    found = run_parts(range(6), own_number, workers=2, progress=no_progress, prepare=note_number)
    assert set(found) == {"0", "1"}


def raise_a_bug(part: int) -> int:
    return 1 // part


class Unportable(Exception):  # noqa: N818 - as some libraries have them
    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} is not {other}")


def raise_unportable(part: int) -> int:
    raise Unportable(part, part + 1)


def refuse_to_prepare(number: int) -> None:
    raise BadDataError("SOME_CODE", f"no device for worker {number}; here; give it one")


@pytest.mark.slow
def test_a_bug_in_a_worker_says_where_it_is() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run_parts([1, 0, 2], raise_a_bug, 2, no_progress)
    assert "in raise_a_bug" in "\n".join(caught.value.__notes__)


@pytest.mark.slow
def test_an_error_that_cannot_be_pickled_arrives_as_text() -> None:
    with pytest.raises(RuntimeError, match=r"Unportable: 3 is not 4"):
        run_parts([3, 3], raise_unportable, 2, no_progress)


@pytest.mark.slow
def test_a_worker_that_cannot_be_prepared_says_why() -> None:
    with pytest.raises(BadDataError, match=r"SOME_CODE: 3 of 3 parts failed, the first: no device for worker \d"):
        run_parts([1, 2, 3], raise_a_bug, 2, no_progress, refuse_to_prepare)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_keeps_its_type_and_code_names_its_part_and_ends_no_other(workers: int, tmp_path: Path) -> None:
    with pytest.raises(BadDataError) as caught:
        run_parts(range(12), partial(note_or_refuse, folder=tmp_path, refused={3}), workers, no_progress)
    assert str(caught.value) == "SOME_CODE: part 3 is bad; in it; leave it out"
    assert "while making part 3" in caught.value.__notes__
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [0, 1, 2, *range(4, 12)]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_several_errors_are_counted_and_listed_under_the_code_of_the_first_part(workers: int, tmp_path: Path) -> None:
    refused = {7, 4, 9}
    with pytest.raises(BadDataError) as caught:
        run_parts(range(12), partial(note_or_refuse, folder=tmp_path, refused=refused), workers, no_progress)
    assert str(caught.value) == ("SOME_CODE: 3 of 12 parts failed, the first: part 4 is bad; in it; leave it out")
    listed = [note for note in caught.value.__notes__ if note.startswith("failed, too")]
    assert listed == [f"failed, too: part {n}: SOME_CODE: part {n} is bad; in it; leave it out" for n in (7, 9)]


def test_a_full_disk_and_very_many_failures_end_the_work(tmp_path: Path) -> None:
    with pytest.raises(CannotWriteError, match="DISK_FULL") as caught:
        run_parts(range(12), partial(fill_disk, folder=tmp_path), 1, no_progress)
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    assert "11 of 12 parts were not begun" in caught.value.__notes__
    with pytest.raises(BadDataError, match=f"SOME_CODE: {outcomes.MOST_FAILED} of 5000 parts failed"):
        run_parts(range(5000), partial(note_or_refuse, folder=tmp_path, refused=set(range(5000))), 1, no_progress)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOENT])
def test_storage_that_fails_in_passing_is_tried_again_and_counted(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slept = without_waiting(monkeypatch)
    work = partial(fail_first, folder=tmp_path, times=2, number=number)
    with caplog.at_level(logging.INFO, logger=outcomes.__name__):
        assert run_parts([5, 6], work, 1, no_progress) == [5, 6]
    assert slept == [*attempts.PAUSES_SECONDS[:2]] * 2
    assert "tried 2 times again; at part 5" in caplog.text
    assert "2 of 2 parts succeeded only when tried again" in caplog.text


@pytest.mark.parametrize(
    ("number", "code"), [(errno.EIO, "STORAGE_FAILING"), (errno.ESTALE, "STORAGE_FAILING"), (errno.ENOENT, None)]
)
def test_storage_that_keeps_failing_ends_the_part_after_a_minute(
    number: int, code: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = without_waiting(monkeypatch)
    with pytest.raises(StoppedError if code else FileNotFoundError) as caught:
        run_parts([5], partial(fail_first, folder=tmp_path, times=99, number=number), 1, no_progress)
    assert sum(slept) == 60
    if code:
        assert to_coded(caught.value) is caught.value
        assert (caught.value.code, caught.value.exit_code, caught.value.is_transient) == (code, 75, True)
        assert "/data/a.flac" in str(caught.value)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), OSError("no number"), ValueError("a bug")])
def test_what_no_waiting_mends_is_not_tried_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    slept = without_waiting(monkeypatch)
    with pytest.raises(type(error)):
        run_parts([error], raise_it, 1, no_progress)
    assert slept == []


def test_the_storage_of_a_stage_that_fails_for_good_has_an_exit_code_for_running_again() -> None:
    """Between attempts a part lets a stop through that is raised in its thread."""
    assert attempts.SLICE_SECONDS <= 1
    assert Code.STORAGE_FAILING in TRANSIENT


@pytest.mark.slow
def test_a_part_that_kills_its_worker_is_found_and_the_others_are_finished(tmp_path: Path) -> None:
    work = partial(die_at_two, folder=tmp_path)
    with pytest.raises(WorkerDiedError, match=r"WORKER_DIED: .*at part 2;") as caught:
        run_parts(range(6), work, workers=2, progress=no_progress)
    assert "while making part 2" in caught.value.__notes__
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "3", "4", "5"}


@pytest.mark.slow
def test_a_worker_that_is_killed_once_fails_nothing(tmp_path: Path) -> None:
    assert run_parts(range(4), partial(die_once, folder=tmp_path), workers=2, progress=no_progress) == [0, 1, 2, 3]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses PR_SET_PDEATHSIG")
def test_workers_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import pathlib, os, time, sys\n"
        "from wavlm.execution.parts import run_parts\n"
        "def work(part):\n"
        "    pathlib.Path(part + '.partial').write_text(str(os.getpid()))\n"
        "    os.rename(part + '.partial', part)\n"
        "    time.sleep(100_000)\n"
        "if __name__ == '__main__':\n"
        "    run_parts(sys.argv[1:], work, 2, lambda done, total: None)\n"
    )
    notes = [tmp_path / "a", tmp_path / "b"]
    parent = subprocess.Popen([sys.executable, script, *notes], env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    wait_until(lambda: all(note.exists() for note in notes))
    pids = [int(note.read_text()) for note in notes]
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(_runs(pid) for pid in pids))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
