"""Promise: begun by some processes, killed, and gone on with by others, a stage ends with the bytes of one process.

Injection: up to three attempts, each of one process, a pool of two workers or a rank of an array, are killed at a
random event on files, whoever does it; then one process or a pool goes on. The point is the seed.
"""

from __future__ import annotations

import random
from functools import partial

from flows.make import _TASKS
from tasks.orchestration.stage import make_shares
from tests.faults.catalogue import Row
from tests.faults.events import Action, Fault
from tests.faults.scene import RUNTIME, Scene, shards_builder
from tests.faults.trial import promise, run_forked
from wavlm.execution.parts import use_executor
from wavlm.execution.share import Share
from wavlm.pipeline.store import Store

POOL = 2
ENDS = {0, -9, 65, 69, 71, 73, 75, 77}  # of an attempt of which one process was killed
Way = int | Share  # so many workers, or a rank of an array
WAYS: tuple[Way, ...] = (1, 1, POOL, Share(0, 2), Share(1, 2), Share(2, 3))


def count(scene: Scene, row: Row) -> int:
    """Any number: each seed is another sequence of attempts."""
    return 0


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Kill several attempts, go on, compare."""
    kind, rng = str(row.options["kind"]), random.Random(point)  # noqa: S311 - to be repeated
    events = scene.count(kind)
    scene.expected  # noqa: B018 - before the trial, whose folder it uses
    scene.fresh(kind)
    seen = []
    for _ in range(rng.randint(1, 3)):
        way, at = rng.choice(WAYS), rng.randint(1, events)
        with scene.control.armed(Fault(Action.KILL, at), scene.store):
            done = run_forked(partial(_work, scene, kind, way), scene.trial / "log", scene.control)
        promise(done.code in ENDS, f"{way} ended with {done.code}: {done.said[-800:]}")
        seen.append(f"{way}: {done.code}")
        scene.check_half(kind)
    scene.check_rerun(kind, rng.choice((1, POOL)))
    return 1, ", ".join(seen)


def _work(scene: Scene, kind: str, way: Way) -> None:
    artifact, store = scene.artifacts[kind], Store(scene.store)
    if isinstance(way, int):
        scene.make(kind, scene.store, way)
    elif kind == "shards":
        with use_executor(way):
            store.make_share(artifact, shards_builder(artifact, store, 1))
    else:
        with make_shares(way):
            _TASKS[kind].fn(artifact, store, RUNTIME)
