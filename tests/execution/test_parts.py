"""The contract of `run_parts`, on the backend in use: worker processes, results in order."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.waiting import wait_until
from wavlm.errors import BadDataError, WorkerDiedError
from wavlm.execution.parts import run_parts
from wavlm.execution.progress import no_progress


def square_slowly_if_small(part: int) -> tuple[int, int]:
    time.sleep(0.2 if part == 0 else 0.0)
    return part * part, os.getpid()


def refuse_three(part: int) -> int:
    if part == 3:
        raise BadDataError("SOME_CODE", f"part {part} is bad")
    return part


def die_at_two(part: int) -> int:
    if part == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return part


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


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_error_keeps_its_type_and_code_and_names_its_part(workers: int) -> None:
    with pytest.raises(BadDataError, match="SOME_CODE: part 3 is bad") as caught:
        run_parts(range(100), refuse_three, workers=workers, progress=no_progress)
    assert caught.value.code == "SOME_CODE"
    assert "while making part 3" in caught.value.__notes__


@pytest.mark.slow
def test_a_killed_worker_is_an_error_that_names_the_parts_under_way() -> None:
    with pytest.raises(WorkerDiedError, match=r"WORKER_DIED.*\b2\b"):
        run_parts(range(4), die_at_two, workers=2, progress=no_progress)


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
