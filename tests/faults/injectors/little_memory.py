"""Promise: what uses an artifact and gets too little memory ends with a code, or a library crashes; no wrong result.

Injection: a limit of the kernel, of some MiB more than the process has, while a stage of a chain of artifacts runs;
several sizes, one after the other, then none. The point says which stage, and is the seed of the sizes.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.faults.catalogue import Row
from tests.faults.injectors.damage import USES, prepare_chain
from tests.faults.injectors.limits import is_crash
from tests.faults.scene import Scene
from tests.faults.trial import promise, run_forked
from tests.field.chain import Chain, Consumer, no_pictures
from wavlm.errors import CodedError
from wavlm.errors.boundary import code_errors

SIZES = 4  # of each point
MOST_BYTES = 24 << 20


def count(scene: Scene, row: Row) -> int:
    """Any number: each seed draws other sizes."""
    return 0


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Limit, use, compare; then without a limit."""
    root = prepare_chain(scene.folder)
    done = run_forked(partial(_work, root, USES[(point - 1) % len(USES)], point), scene.folder / "log")
    promise(done.code == 0 or is_crash(done), f"ended with {done.code}: {done.said[-800:]}")
    again = run_forked(partial(_use_again, root, USES[(point - 1) % len(USES)]), scene.folder / "log")
    promise(again.code == 0, f"once there is memory again it ended with {again.code}: {again.said[-800:]}")
    codes = [line for line in done.said.splitlines() if line.startswith("with ")]
    return max(1, len(codes)), "; ".join(codes)


def _work(root: Path, use: Consumer, seed: int) -> None:
    rng, out = random.Random(seed), root / "out"  # noqa: S311 - to be repeated
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    whole = (root / f"expected-{USES.index(use)}").read_text()
    for number in range(SIZES):
        size = int(MOST_BYTES * rng.random() ** 2)
        with no_pictures():
            said = _use(Chain(root), use, out / str(number), (size, whole))
        sys.stdout.write(f"with {size >> 10} KiB more: {said}\n")
        sys.stdout.flush()


def _use_again(root: Path, use: Consumer) -> None:
    """In a process of its own: oneDNN remembers what it had no memory for, so a process goes on failing at it."""
    whole = (root / f"expected-{USES.index(use)}").read_text()
    with no_pictures():
        assert use(Chain(root), root / "out" / "unlimited") == whole, "another result"


def _use(chain: Chain, use: Consumer, out: Path, limit: tuple[int, str]) -> str:
    size, whole = limit
    try:
        with code_errors(chain.root), _limited(size):
            found = use(chain, out)
    except CodedError as error:
        return error.code
    assert found == whole, "another result, and no error"
    return "enough"


@contextmanager
def _limited(size: int) -> Iterator[None]:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
