"""Promise: damage of any file of an artifact is an error with a code before it is used, or changes nothing.

Injection: a bit is flipped, the end is cut off, or a page becomes zeros, in a file of a kind (`file`) of a finished
chain of artifacts; then each stage that reads the file is run, one after the other. The point is the seed, and says
which stage.
"""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path

from tests.faults.catalogue import Row
from tests.faults.scene import Scene
from tests.faults.trial import promise, run_forked
from tests.field.chain import CASES, HARMLESS, Chain, Consumer, no_pictures, write_chain
from tests.sealed import DAMAGES, damaged
from wavlm.errors import CodedError


def count(scene: Scene, row: Row) -> int:
    """Any number: each seed damages another place."""
    return 0


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Damage, use, compare with what comes of the whole file."""
    root = scene.folder / "chain"
    if not (root / "done").exists():
        done = run_forked(partial(_write, root), scene.folder / "log")
        promise(done.code == 0, f"the chain could not be made: {done.said[-1500:]}")
    name = str(row.options["file"])
    uses = [use for file, use, _ in CASES if file == name]
    number = (point - 1) % len(uses)
    done = run_forked(partial(_work, root, name, (uses[number], number), (str(row.options["damage"]), point)),
                      scene.folder / "log")  # fmt: skip
    promise(done.code == 0, f"ended with {done.code}: {done.said[-800:]}")
    return 1, done.last_line


def _write(root: Path) -> None:
    with no_pictures():
        write_chain(root)
    (root / "done").touch()


def _work(root: Path, name: str, used: tuple[Consumer, int], damage: tuple[str, int]) -> None:
    (use, number), (kind, seed) = used, damage
    chain, out = Chain(root), root / "out"
    shutil.rmtree(out, ignore_errors=True)  # of an earlier trial
    out.mkdir()
    path = root / name
    with no_pictures():
        whole = _whole(chain, name, use, number)
        with damaged(path, next(item for item in DAMAGES if item.__name__ == kind), seed) as has_changed:
            try:
                found = use(chain, out / f"{kind}-{seed}-{path.name}-{number}")
            except CodedError as error:
                assert path.name in str(error), f"another file is named: {error}"  # noqa: PT017 - most raise
                sys.stdout.write(str(error))
                return
    assert found == whole, "another result, and no error"
    assert path.suffix in HARMLESS or not has_changed, "not noticed"
    sys.stdout.write("the same result")


def _whole(chain: Chain, name: str, use: Consumer, number: int) -> str:
    """What comes of the undamaged file; kept beside the chain."""
    kept = chain.root / f"expected-{name.replace('/', '-')}-{number}"
    if not kept.exists():
        kept.write_text(use(chain, chain.root / "out" / kept.name))
    return kept.read_text()
