"""One exit code for all ranks: why they ended, not what that did to their neighbours."""

import signal
import subprocess
import sys

import pytest

from wavlm.execution.stop import StopRequest, keep_signals
from wavlm.execution.supervisor import choose_exit_code, run_ranks


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


def test_whoever_keeps_signals_for_a_child_gets_them_himself_afterwards() -> None:
    with StopRequest() as stop:
        with keep_signals():
            signal.raise_signal(signal.SIGTERM)
            assert not stop.requested
        assert stop.requested
