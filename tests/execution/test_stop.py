"""How a process ends after its work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENDS = """
import atexit, sys, time
from wavlm.execution.stop import end_within
waits, limit = (float(word) for word in sys.argv[1:])
atexit.register(time.sleep, waits)
end_within(limit, 7)
sys.exit(3)
"""


@pytest.mark.parametrize(("waits", "limit", "code"), [(0, 600, 3), (600, 0.1, 7)])
def test_a_process_that_waits_at_its_end_is_ended(waits: float, limit: float, code: int) -> None:
    command = [sys.executable, "-c", ENDS, str(waits), str(limit)]
    assert subprocess.run(command, cwd=ROOT, check=False, timeout=300).returncode == code


LAST = """
import atexit, sys, threading, time
from wavlm.execution.stop import end_process

class Late:
    def __del__(self):
        sys.stdout.write("the interpreter ends\\\\n")

def work():
    time.sleep(0.5)
    print("a thread")

held = Late()
atexit.register(print, "a handler")
print("buffered")
if sys.argv[2] == "True":
    threading.Thread(target=work).start()
end_process(int(sys.argv[1]), has_handlers=sys.argv[2] == "True")
"""


@pytest.mark.parametrize(
    ("code", "has_handlers", "said"), [(0, True, "buffered\na thread\na handler\n"), (69, False, "buffered\n")]
)
def test_a_process_ends_without_the_end_of_the_interpreter(code: int, has_handlers: bool, said: str) -> None:
    """In that end a stop signal kills, though all the work is done, and threads of gloo abort."""
    command = [sys.executable, "-c", LAST, str(code), str(has_handlers)]
    done = subprocess.run(command, cwd=ROOT, check=False, timeout=300, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, said)


def test_who_no_longer_listens_is_no_error() -> None:
    program = "import os\nfrom wavlm.execution.stop import end_process\nprint('x')\nos.close(1)\nend_process(0)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=300, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
