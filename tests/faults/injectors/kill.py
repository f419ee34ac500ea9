"""Promise: whenever a process is killed, nothing half is visible, and the rerun ends with the same bytes.

Injection: kill -9 at an event on files, or half-way through a write. Options: `at` (event, write), `whose` (leader,
others), `workers`.
"""

from __future__ import annotations

from tests.faults.catalogue import Row
from tests.faults.events import Action, Fault, Whose
from tests.faults.scene import Scene
from tests.faults.trial import promise

CODED = {65, 69, 71, 73, 75, 77}  # how a parent may end whose child was killed


def count(scene: Scene, row: Row) -> int:
    """The events of an undisturbed run."""
    return scene.count(str(row.options["kind"]), _whose(row), _workers(row))


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Kill, look, run again, compare."""
    kind = str(row.options["kind"])
    scene.expected  # noqa: B018 - before the trial, whose folder it uses
    scene.fresh(kind)
    action = Action.HALF if row.options.get("at") == "write" else Action.KILL
    done = scene.run(kind, Fault(action, point, _whose(row)), _workers(row))
    has_fired = scene.control.has_fired
    if _whose(row) is Whose.OTHERS:
        promise(done.code in {0, *CODED}, f"the parent of a killed process ended with {done.code}: {done.said[-800:]}")
    else:
        promise(done.was_killed or not has_fired, f"ended with {done.code}: {done.said[-800:]}")
    scene.check_half(kind)
    scene.check_rerun(kind)
    return int(has_fired), f"ended with {done.code}" if has_fired else "there was no such event this time"


def _whose(row: Row) -> Whose:
    return Whose[str(row.options.get("whose", "leader")).upper()]


def _workers(row: Row) -> int:
    return int(str(row.options.get("workers", 1)))
