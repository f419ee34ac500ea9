"""Try one mutant: change the file, run the tests that can notice it until one fails, and put the file back.

Tests run in a fork of this process, which has imported large libraries but nothing of the project: a mutant then costs
what its tests cost. A test that fails is run once more on the unchanged tree: if it fails there too, it says nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from tests.mutants.cover import Cover, order
from tests.mutants.draw import Mutant

BUDGET_SECONDS = 120.0  # what the tests of one mutant may cost together, as measured without it
FIRST_SECONDS = 15.0  # the cheapest of them run first, in a process of their own
LEAST_SECONDS = 120.0  # how long a process of tests may take at least
SLOW_IMPORTS = ("numpy", "torch", "torch._dynamo", "pyarrow.parquet", "sklearn.cluster", "scipy.signal", "soundfile",
                "pydantic", "matplotlib.pyplot", "pytest", "safetensors.torch", "faiss", "webdataset")  # fmt: skip
OURS = ("tests", "wavlm", "tasks", "flows")


class Trial:
    """Tries mutants in a tree, one at a time."""

    def __init__(self, tree: Path, cover: Cover, budget_seconds: float = BUDGET_SECONDS) -> None:
        os.environ["OMP_NUM_THREADS"] = "1"
        for name in SLOW_IMPORTS:
            with suppress(ImportError):
                import_module(name)
        self.tree, self.cover, self.budget_seconds = tree, cover, budget_seconds
        self.trusted: dict[str, bool] = {}  # whether a test passes on the unchanged tree, as far as it was asked

    def judge(self, mutant: Mutant) -> dict[str, object]:
        """The verdict, as a row of the file of verdicts."""
        began = time.monotonic()
        found = order(self.cover.tests(mutant.path, mutant.lines), self.cover, mutant.path)
        batches, by = self._split(found), ""
        for batch in batches:
            if by := self._killer(mutant, batch):
                break
        seconds, count = round(time.monotonic() - began, 1), sum(map(len, batches))
        return {"name": mutant.name, "path": mutant.path, "line": mutant.line, "change": mutant.change,
                "verdict": "killed" if by else "lived", "by": by, "tests": count, "left_out": len(found) - count,
                "seconds": seconds}  # fmt: skip

    def _split(self, tests: list[str]) -> list[list[str]]:
        """The tests within the budget: a first batch that is cheap, then the rest in their order."""
        first, rest, spent = [], [], 0.0
        for test in tests:
            if spent + self.cover.seconds[test] <= self.budget_seconds:
                spent += self.cover.seconds[test]
                (first if spent <= FIRST_SECONDS else rest).append(test)
        return [batch for batch in (first, rest) if batch]

    def _killer(self, mutant: Mutant, tests: list[str]) -> str:
        """What fails for the mutant's sake, or "" if nothing does."""
        while tests := [test for test in tests if self.trusted.get(test, True)]:
            by = self._first_failure(mutant, tests)
            if by not in tests:  # nothing, or a crash, or a hang
                return by
            if by not in self.trusted:
                self.trusted[by] = not self._run([by])
                if not self.trusted[by]:
                    print(f"fails on the unchanged tree, too: {by}", flush=True)  # noqa: T201  a tool
            if self.trusted[by]:
                return by
        return ""

    def _first_failure(self, mutant: Mutant, tests: list[str]) -> str:
        file = self.tree / mutant.path
        source = file.read_bytes()
        try:
            replace(file, mutant.applied(source))
            return self._run(tests)
        finally:
            replace(file, source)

    def _run(self, tests: list[str]) -> str:
        """Run tests in the tree, in a fork: the name of the first that fails, how they ended otherwise, or ""."""
        limit = LEAST_SECONDS + 5 * sum(self.cover.seconds[test] for test in tests)
        with tempfile.TemporaryFile("w+") as output:
            child = os.fork()
            if child == 0:
                run_and_exit(self.tree, tests, output.fileno())
            code = wait(child, limit)
            output.seek(0)
            lines = output.read().splitlines()
        if code == 0:
            return ""
        if code is None:
            return f"no end within {limit:.0f} s"
        for line in lines:
            kind, _, rest = line.partition(" ")
            if kind in ("FAILED", "ERROR"):
                return next((test for test in tests if rest == test or rest.startswith(f"{test} ")), line[:200])
        return f"{(lines or ['no output'])[-1][:160]} (exit code {code})"


def run_and_exit(tree: Path, tests: list[str], output: int) -> None:
    """What the fork does: forget this tool's own modules, go to the tree, run pytest there."""
    os.setsid()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(tree)
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    os.environ["PYTHONPATH"] = str(tree)
    sys.path[:] = [str(tree), *(path for path in sys.path if not (Path(path or ".") / "tests" / "mutants").exists())]
    import pytest

    code = 99
    try:
        code = int(pytest.main(["-q", "-x", "--no-header", "--tb=no", "-p", "no:cacheprovider", *tests]))
        sys.stdout.flush()
    finally:
        os._exit(code)


def wait(child: int, limit: float) -> int | None:
    """The exit code of the fork; None if it took too long and was killed, with all that it started."""
    end = time.monotonic() + limit
    code: int | None = None
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(status)
            break
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if code is None:
        os.waitpid(child, 0)
    return code


def replace(file: Path, source: bytes) -> None:
    """Write a module and forget its byte code: a change of the same size within a second would be overlooked."""
    file.write_bytes(source)
    for old in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        old.unlink(missing_ok=True)
