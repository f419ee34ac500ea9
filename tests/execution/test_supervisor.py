"""One exit code for all ranks: why they ended, not what that did to their neighbours."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from wavlm.execution import launch
from wavlm.execution.exit_note import ExitNote
from wavlm.execution.runtime import Runtime
from wavlm.execution.stop import StopRequest, keep_signals
from wavlm.execution.supervisor import choose_exit_code, run_ranks, start_ranks


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([0, 0], 0),
        ([75, 75], 75),
        ([1, 65], 65),  # the rank whose neighbour has bad data loses its connection
        ([1, -9], 137),
        ([65, -9], 65),
        ([75, -9], 137),
        ([1, 75], 75),  # a rank says 75 only after all agreed
        ([-15, 1], 1),  # asked to stop because the other one had a bug
        ([-15, -15], 75),
        ([-2], 75),
        ([0, 1], 1),
        ([], 137),
    ],
)
def test_the_code_of_a_group_is_that_of_its_cause(codes: list[int], expected: int) -> None:
    assert choose_exit_code(codes) == expected


def test_ranks_are_told_apart_and_a_failure_of_one_ends_the_others() -> None:
    program = (
        "import os, sys, time\n"
        "from wavlm.execution.stop import StopRequest\n"
        "with StopRequest() as stop:\n"
        "    while os.environ['RANK'] != '1' and not stop.requested:\n"
        "        time.sleep(0.05)\n"
        "    sys.exit(65 if os.environ['RANK'] == '1' else 1)"
    )
    assert run_ranks([sys.executable, "-c", program], 3) == 65


OF_A_CLUSTER = {
    "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "1", "NODE_RANK": "1",
    "ROLE_RANK": "1", "ROLE_WORLD_SIZE": "2", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "39571",
    "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_USE_AGENT_STORE": "True", "WAVLM_STORE_PORT": "1",
    "WAVLM_STORE_SOCKET": "1",
}  # fmt: skip


def test_a_trainer_is_told_nothing_of_the_ranks_of_its_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single one that saw WORLD_SIZE=2 would wait for the other one, on all interfaces."""
    for name, value in OF_A_CLUSTER.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KEPT", "yes")
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    monkeypatch.setattr(launch, "command", lambda *_: [sys.executable, "-c", program])
    with (tmp_path / "note").open("wb") as note:
        started = launch._start(tmp_path / "job.json", Runtime(), tmp_path / "log", note.fileno())
        assert started.wait() == 0
    seen = json.loads((tmp_path / "log").read_text())
    assert not OF_A_CLUSTER.keys() & seen.keys()
    assert seen["KEPT"] == "yes"


@pytest.mark.parametrize(("left", "expected"), [(65, "CHECKSUM: x; y; z"), (69, "")])
def test_what_is_lost_in_the_pipe_is_read_from_the_folder(
    left: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it is of another end than this one, nothing is said."""
    note = ExitNote(exit_code=left, message="CHECKSUM: x; y; z")
    program = f"import pathlib, sys; pathlib.Path('exit.json').write_text({note.model_dump_json()!r}); sys.exit(65)"
    monkeypatch.setattr(launch, "command", lambda *_: [sys.executable, "-c", program])
    monkeypatch.setattr(launch, "read_place", lambda _: SimpleNamespace(out=tmp_path))
    monkeypatch.chdir(tmp_path)
    ended = launch.run_trainer(tmp_path / "job.json", Runtime(), lambda _: None)
    assert ended == ExitNote(exit_code=65, message=expected)


def test_ranks_are_told_of_each_other_and_of_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OF_A_CLUSTER.items():
        monkeypatch.setenv(name, value)
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    for rank, process in enumerate(start_ranks([sys.executable, "-c", program], 3, output=subprocess.PIPE)):
        seen = json.loads(process.communicate()[0])
        told = {name: seen[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")}
        assert told == {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "3"}
        left = {name for name in OF_A_CLUSTER if name in seen} - told.keys()
        assert left == ({"WAVLM_STORE_PORT", "WAVLM_STORE_SOCKET"} if rank == 0 else {"WAVLM_STORE_PORT"})
        assert seen["WAVLM_STORE_PORT"] != "1"


def test_a_signal_that_comes_before_the_handler_waits_for_it() -> None:
    program = (
        "import sys\n"
        "from wavlm.execution.stop import StopRequest\n"
        "sys.stdin.read()\n"
        "with StopRequest() as stop:\n"
        "    sys.exit(75 if stop.requested else 0)"
    )
    with keep_signals():
        child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
    child.terminate()
    child.communicate()
    assert child.returncode == 75


SAY_WHAT_WAITS = "import signal; print(*sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))))"
STOPS = [int(signal.SIGINT), int(signal.SIGTERM)]


def test_ranks_are_started_with_stop_signals_held_back() -> None:
    """Else a stop in the first tenths of a second would end a rank without its last words."""
    ranks = start_ranks([sys.executable, "-c", SAY_WHAT_WAITS], 2, output=subprocess.PIPE)
    said = [process.communicate()[0] for process in ranks]
    assert [[int(number) for number in text.split()] for text in said] == [STOPS, STOPS]


def test_a_supervisor_is_started_with_stop_signals_held_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "command", lambda *_: [sys.executable, "-c", SAY_WHAT_WAITS])
    with (tmp_path / "note").open("wb") as note:
        assert launch._start(tmp_path / "job.json", Runtime(), tmp_path / "log", note.fileno()).wait() == 0
    assert [int(number) for number in (tmp_path / "log").read_text().split()] == STOPS


def test_whoever_keeps_signals_for_a_child_gets_them_himself_afterwards() -> None:
    with StopRequest() as stop:
        with keep_signals():
            signal.raise_signal(signal.SIGTERM)
            assert not stop.requested
        assert stop.requested
