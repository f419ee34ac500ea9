"""Promise: damage of any file of an artifact is an error with a code before it is used, or changes nothing.

Injection: a bit is flipped, the end is cut off, or a page becomes zeros, in a file of a kind (`file`) of a finished
chain of artifacts, and a stage that reads the file is run; then the same at other places. The point says which stage,
and where.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path

from tests.faults.catalogue import Row
from tests.faults.scene import Scene
from tests.faults.trial import promise, run_forked, run_teaching
from tests.field.chain import CASES, HARMLESS, Chain, Consumer, no_pictures, write_chain
from tests.sealed import DAMAGES, damaged
from wavlm.errors import CodedError

PLACES = 5  # of each point: a fork takes longer than most of the stages


USES = list(dict.fromkeys(use for _, use, _ in CASES))


def count(scene: Scene, row: Row) -> int:
    """Any number: each seed damages other places."""
    return 0


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Damage, use, compare with what comes of the whole file."""
    root, name = prepare_chain(scene.folder), str(row.options["file"])
    uses = [use for file, use, _ in CASES if file == name]
    seeds = range(PLACES * (point - 1), PLACES * point)
    work = partial(_work, root / name, uses[(point - 1) % len(uses)], (str(row.options["damage"]), seeds), root)
    done = run_forked(work, scene.folder / "log")
    promise(done.code == 0, f"ended with {done.code}: {done.said[-800:]}")
    return PLACES, done.said.strip()


@lru_cache(1)
def prepare_chain(folder: Path) -> Path:
    """The folder of the chain, and beside each of its stages what comes of whole files."""
    root = folder / "chain"
    shutil.rmtree(root, ignore_errors=True)
    run_teaching(partial(_write, root), folder / "log", "chain")
    return root


def _write(root: Path) -> None:
    with no_pictures():
        chain = write_chain(root)
        (root / "out").mkdir()
        for number, use in enumerate(USES):
            (root / f"expected-{number}").write_text(use(chain, root / "out" / str(number)))


def _work(path: Path, use: Consumer, damages: tuple[str, Sequence[int]], root: Path) -> None:
    shutil.rmtree(root / "out")  # of an earlier trial
    (root / "out").mkdir()
    kind, seeds = damages
    with no_pictures():
        seen = Counter(_use_damaged(Chain(root), path, use, (kind, seed)) for seed in seeds)
    sys.stdout.write(", ".join(f"{code} {count}" for code, count in sorted(seen.items())))


def _use_damaged(chain: Chain, path: Path, use: Consumer, damage: tuple[str, int]) -> str:
    """The code of the error that the stage ends with, or that the result is the same."""
    kind, seed = damage
    with damaged(path, next(item for item in DAMAGES if item.__name__ == kind), seed) as has_changed:
        try:
            found = use(chain, chain.root / "out" / f"{kind}-{seed}")
        except CodedError as error:
            assert path.name in str(error), f"seed {seed}: another file is named: {error}"  # noqa: PT017 - most raise
            return error.code
    whole = (chain.root / f"expected-{USES.index(use)}").read_text()
    assert found == whole, f"seed {seed}: another result, and no error"
    assert path.suffix in HARMLESS or not has_changed, f"seed {seed}: not noticed"
    return "the same result"
