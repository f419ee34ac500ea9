"""Promise: a clock that jumps changes no byte and ends no stage.

Injection: `time.time` and `time.time_ns` jump to and fro by up to 60 years while a stage runs. The point is the seed.
"""

from __future__ import annotations

import random
import time
from functools import partial

from tests.faults.catalogue import Row
from tests.faults.scene import Scene
from tests.faults.trial import promise, run_forked

MOST_SECONDS = 60 * 365.25 * 86400


def count(scene: Scene, row: Row) -> int:
    """Any number: each seed is another way to jump."""
    return 0


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Run with such a clock, then compare."""
    kind = str(row.options["kind"])
    scene.expected  # noqa: B018 - before the trial, whose folder it uses
    scene.fresh(kind)
    done = run_forked(partial(_work, scene, kind, point), scene.trial / "log")
    promise(done.code == 0, f"ended with {done.code}: {done.said[-800:]}")
    scene.check_half(kind)
    scene.check_rerun(kind)
    return 1, "the same bytes"


def _work(scene: Scene, kind: str, seed: int) -> None:
    rng, real = random.Random(seed), time.time  # noqa: S311 - to be repeated

    def jumping() -> float:
        return max(0.0, real() + rng.uniform(-MOST_SECONDS, MOST_SECONDS))

    time.time, time.time_ns = jumping, lambda: int(1e9 * jumping())
    scene.make(kind, scene.store)
