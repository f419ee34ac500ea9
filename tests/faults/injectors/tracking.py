"""Promise: a registry that fails or hangs holds up no training, and `sync` completes it afterwards, each figure once.

Injection: the disk of MLflow's database fails, is full or does not answer from an event on, while a training is
followed. Options: `action` (hang, full, fail), `error` (a name of errno).
"""

from __future__ import annotations

import errno
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from unittest.mock import patch

from tasks.register import sync
from tasks.registry import following
from tasks.registry.following import Follower, Uploader, follow_training
from tasks.registry.runs import Tracked
from tests.faults.catalogue import Row
from tests.faults.events import Action, Fault
from tests.faults.injectors.registration import (
    RECIPE,
    differences_of,
    fresh_registry,
    import_client,
    state_of,
)
from tests.faults.scene import Scene
from tests.faults.trial import promise, run_forked
from wavlm.execution.metrics import METRICS_FILE
from wavlm.pipeline.curves import Point
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe

STALL_SECONDS = 1.0  # of a training, for one record
CLOSE_SECONDS = following.CLOSE_SECONDS + STALL_SECONDS
FEEDS, FEEDS_AFTER = 400, 20  # at most, and after the fault
PUSHES = 3  # after which the registry has all records
PAUSE_SECONDS = 0.05
END_SECONDS = 30.0


def count(scene: Scene, row: Row) -> int:
    """The events of an undisturbed training; what the registry then holds is kept for comparison."""
    import_client()
    fresh_registry(scene)
    with scene.control.armed(Fault(), scene.store / "registry"):
        followed(scene)
    events = scene.control.count
    synced(scene)
    (scene.folder / "followed").write_text(state_of(scene))
    return events


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Follow a training, then register its model when the disk works again; compare what the registry holds."""
    if not (scene.folder / "followed").exists():
        count(scene, row)
    fresh_registry(scene)
    action = Action[str(row.options["action"]).upper()]
    error = 0 if action is Action.HANG else getattr(errno, str(row.options["error"]))
    with scene.control.armed(Fault(action, point, error=error), scene.store / "registry"):
        said = followed(scene)
    has_fired = scene.control.has_fired
    synced(scene)
    got, wanted = state_of(scene), (scene.folder / "followed").read_text()
    promise(got == wanted, f"the registry holds something else: {differences_of(got, wanted)}")
    return int(has_fired), said


def followed(scene: Scene) -> str:
    """Follow a training, which has to go on; the longest that it had to wait, as text."""
    done = run_forked(partial(follow, Store(scene.store), RECIPE, lambda: scene.control.has_fired), scene.trial / "log")
    promise(done.code == 0, f"the training ended with {done.code}: {done.said[-1500:]}")
    return done.last_line


def synced(scene: Scene) -> None:
    """`wavlm sync` ends well."""
    done = run_forked(partial(sync, RECIPE, Store(scene.store)), scene.trial / "log")
    promise(done.code == 0, f"sync ended with {done.code}: {done.said[-1500:]}")


def follow(store: Store, recipe: Recipe, is_met: Callable[[], bool]) -> None:
    """Feed the records of a finished training again and again, until a fault was met or nothing is left to do."""
    model = models(plan(recipe))[-1]
    records = [json.loads(line) for line in (store.path(model) / METRICS_FILE).read_text().splitlines()]
    pushes: list[int] = []
    with patch.object(following, "PUSH_EVERY_SECONDS", 0.1), patch.object(Uploader, "push", _counted(pushes)):
        follower = follow_training(Tracked(model, recipe.name), store)
        longest, after = 0.0, 0
        for number in range(FEEDS):
            longest = max(longest, _seconds(partial(follower.feed, records[number % len(records)])))
            after += is_met() or follower._gone.is_set()
            if after == FEEDS_AFTER or len(pushes) == PUSHES:
                break
            time.sleep(PAUSE_SECONDS)
        closing = _seconds(partial(follower.close, "FINISHED"))
        _wait_for_end(follower, is_met)
    assert longest <= STALL_SECONDS, f"a record took {longest:.2f} s"
    assert closing <= CLOSE_SECONDS, f"the end took {closing:.2f} s"
    sys.stdout.write(f"\n{number + 1} records, the longest {longest * 1000:.0f} ms; the end {closing:.2f} s")


def _counted(pushes: list[int]) -> Callable[..., None]:
    """`Uploader.push`, which notes how often it ended well."""
    push = Uploader.push

    def push_and_count(uploader: Uploader, new: Sequence[Point]) -> None:
        push(uploader, new)
        pushes.append(len(new))

    return push_and_count


def _wait_for_end(follower: Follower, is_met: Callable[[], bool]) -> None:
    """Until the registry has all of it, or the fault is met."""
    ends = time.monotonic() + END_SECONDS
    while follower._thread.is_alive() and not is_met() and time.monotonic() < ends:
        time.sleep(PAUSE_SECONDS)


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
