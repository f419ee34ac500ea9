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
