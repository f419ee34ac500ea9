"""Draw mutants with a seed, run for each the tests that can notice it, and write docs/mutants.md.

python -m tests.mutants --seed 1 --count 100     an hour on two cores; `make mutants` calls it

It works in a clone of the last commit and goes on where it was interrupted: the map of lines and the verdicts are kept
in `--work`. A mutant lives if all tests pass that run its lines (as far as the budget goes, cheapest first). A hang is
a kill. `python -m tests.mutants --again FILE` runs again the mutants that a file of verdicts says lived.
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mutants import cover
from tests.mutants.draw import AREAS, Mutant, mutants

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "mutants.md"
BUDGET_SECONDS = 240.0  # what the tests of one mutant may cost together, as measured without it
FIRST_SECONDS = 40.0  # the cheapest of them run first, in a process of their own


def main() -> int:
    """Trace, draw, run, report."""
    options = arguments()
    work, tree = options.work, options.work / "tree"
    work.mkdir(parents=True, exist_ok=True)
    commit = prepare(tree)
    if not options.keep_map:
        cover.trace(tree, work)
    lines = cover.read(work, tree)
    verdicts = work / f"verdicts-{options.seed}.jsonl"
    done = {json.loads(line)["name"] for line in verdicts.read_text().splitlines()} if verdicts.exists() else set()
    for number, mutant in enumerate(draw(tree, options.seed, options.count)):
        if mutant.name not in done:
            with alone(options.lock):
                row = {"seed": options.seed, "commit": commit, "number": number, **judge(mutant, tree, lines)}
            with verdicts.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(
                f"{number:4} {row['verdict']:7} {row['seconds']:6.1f} s  {mutant.name[:110]}  {row['by']}", flush=True
            )
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "wavlm-mutants",
        help="where it works and keeps verdicts",
    )
    parser.add_argument("--keep-map", action="store_true", help="do not trace tests that are new")
    parser.add_argument("--lock", type=Path, help="lock this file (flock) while a mutant is tried: for shared machines")
    return parser.parse_args()


@contextmanager
def alone(lock: Path | None) -> Iterator[None]:
    """Hold the lock, if one is given."""
    if lock is None:
        yield
        return
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def prepare(tree: Path) -> str:
    """A clone of the last commit; returns its name."""
    if not tree.exists():
        git("clone", "--quiet", str(ROOT), str(tree))
    git("-C", str(tree), "fetch", "--quiet", str(ROOT), "HEAD")
    git("-C", str(tree), "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
    return git("-C", str(tree), "rev-parse", "--short", "HEAD")


def git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()


def draw(tree: Path, seed: int, count: int) -> list[Mutant]:
    """`count` mutants: at random within an area, one area after the other."""
    rng = random.Random(seed)  # noqa: S311  the same mutants each time
    by_area = []
    for area in AREAS:
        found = mutants(tree, (area,))
        rng.shuffle(found)
        by_area.append(found)
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*by_area))
    return [mutant for mutant in rounds if mutant is not None][:count]


def judge(mutant: Mutant, tree: Path, lines: cover.Cover) -> dict[str, object]:
    """Run the tests of one mutant, cheap ones first, until one fails."""
    file = tree / mutant.path
    source = file.read_bytes()
    began = time.monotonic()
    found = cover.order(lines.tests(mutant.path, mutant.lines), lines, mirror_of(mutant.path))
    batches = split(found, lines)
    verdict, by = "lived", ""
    try:
        replace(file, mutant.applied(source))
        for batch in batches:
            by = failing(batch, tree, limit=60 + 3 * sum(lines.seconds[test] for test in batch))
            if by:
                verdict = "killed"
                break
    finally:
        replace(file, source)
    seconds = round(time.monotonic() - began, 1)
    count = sum(map(len, batches))
    return {"name": mutant.name, "path": mutant.path, "line": mutant.line, "kind": mutant.kind, "before": mutant.before,
            "after": mutant.after, "verdict": verdict, "by": by, "tests": count, "left_out": len(found) - count,
            "seconds": seconds}  # fmt: skip


def mirror_of(path: str) -> str:
    """The folder of tests for a file: `wavlm/nn/head.py` has tests/nn, `tasks/registry/gate.py` tests/tasks."""
    parts = path.split("/")
    return f"tests/{parts[1] if parts[0] == 'wavlm' else parts[0]}"


def split(tests: list[str], lines: cover.Cover) -> list[list[str]]:
    """The tests within the budget: a first batch that is cheap, then the rest in their order."""
    first, rest, spent = [], [], 0.0
    for test in tests:
        spent += lines.seconds[test]
        if spent > BUDGET_SECONDS:
            continue
        (first if spent <= FIRST_SECONDS else rest).append(test)
    return [batch for batch in (first, rest) if batch]


def replace(file: Path, source: bytes) -> None:
    """Write a module and forget its byte code: a change of the same size within a second would be overlooked."""
    file.write_bytes(source)
    for old in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        old.unlink()


def failing(tests: list[str], tree: Path, limit: float) -> str:
    """The first test that fails, or "" if all pass. No answer in time, or a crash, is a failure."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "--tb=no", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return f"no end within {limit:.0f} s"
    if process.returncode == 0:
        return ""
    named = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return (named or output.splitlines()[-1:] or ["no output"])[0][:200] + f" ({process.returncode})"


if __name__ == "__main__":
    sys.exit(main())
