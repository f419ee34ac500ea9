"""Wait for something that other processes or threads do.

The limit only ends a test that hangs. A busy machine may take many times as long as an idle one, so no test
uses a limit as a statement about speed.
"""

import time
from collections.abc import Callable

LIMIT_SECONDS = 600.0  # less than pytest's own timeout of a test (pyproject.toml), which gives no reason


def wait_until(condition: Callable[[], object], what: str = "what the test waits for") -> None:
    """Return when the condition holds; an AssertionError after LIMIT_SECONDS."""
    end = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {LIMIT_SECONDS:.0f} s"
        time.sleep(0.05)
