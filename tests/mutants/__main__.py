"""Draw mutants with a seed, run for each the tests that can notice it, and write docs/mutants.md.

python -m tests.mutants --seed 1 --count 100     an hour or two on two cores; `make mutants` calls it
python -m tests.mutants --seed 1 --again         those that lived once more, after tests were added

It works in a clone of the last commit and goes on where it was interrupted: the map of lines and the verdicts are kept
in `--work`. A mutant lives if all tests pass that run its lines (as far as the budget goes, cheapest first). A hang is
a kill.
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mutants import cover
from tests.mutants.attempt import BUDGET_SECONDS, Trial
from tests.mutants.draw import AREAS, Mutant, mutants, of_file
from tests.mutants.report import REASONS, Row, Verdicts, page, reason_key

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "mutants.md"


def main() -> int:
    """Trace, draw, try, report."""
    options = arguments()
    work, tree = options.work, options.work / "tree"
    work.mkdir(parents=True, exist_ok=True)
    commit = prepare(tree)
    if not options.keep_map:
        cover.trace(tree, work)
    verdicts = Verdicts(work / f"verdicts-{options.seed}.jsonl")
    if options.again:
        wanted = again(tree, verdicts.lived)
    else:
        known = verdicts.rows
        wanted = [(one.name, one) for one in draw(tree, options.seed, options.count) if one.name not in known]
    trial = Trial(tree, cover.read(work, tree), options.budget_s)
    for name, mutant in wanted:
        with alone(options.lock):
            row = {**trial.judge(mutant), "name": name, "seed": options.seed, "commit": commit}
        verdicts.add(row)
        print(f"{row['verdict']:7} {row['seconds']:6.1f} s  {mutant.name[:110]}  {row['by']}", flush=True)
    PAGE.write_text(page(verdicts, options.seed))
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
    parser.add_argument("--again", action="store_true", help="try again those that lived")
    parser.add_argument(
        "--budget-s", type=float, default=BUDGET_SECONDS, help="seconds of tests per mutant; more with --again"
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


def again(tree: Path, rows: list[Row]) -> list[tuple[str, Mutant]]:
    """The same changes in today's code, by the names that they had when they were drawn; the nearest line of several.

    A change whose place is gone is left as it was, and so is one that has a reason to live.
    """
    found = []
    for row in rows:
        if reason_key(row) in REASONS:
            continue
        same = [one for one in of_file(tree, tree / row["path"]) if one.change == row["change"]]
        found += [(row["name"], min(same, key=lambda one: abs(one.line - row["line"])))] if same else []
    return found


if __name__ == "__main__":
    sys.exit(main())
