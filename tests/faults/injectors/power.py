"""Promise: after a loss of power what is complete is whole, and the rerun ends with the same bytes.

Injection: kill -9 at an event, then take from the disk what was not flushed, by the log of events: what was written to
a file since its last flush (option `lost: content`), or each name that was made or moved since its folder was flushed
(`lost: names`). A real disk loses some of it; this loses all of one kind.
"""

from __future__ import annotations

from tests.faults.catalogue import Row
from tests.faults.events import Action, Fault
from tests.faults.lost_power import Unflushed, lose_content, lose_names, read_log
from tests.faults.scene import Scene
from tests.faults.trial import promise


def count(scene: Scene, row: Row) -> int:
    """The events of an undisturbed run."""
    return scene.count(str(row.options["kind"]))


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Kill, lose, look, run again, compare."""
    kind = str(row.options["kind"])
    scene.expected  # noqa: B018 - before the trial, whose folder it uses
    scene.fresh(kind)
    log = scene.trial / "events"
    done = scene.run(kind, Fault(Action.KILL, point), log=log)
    promise(done.was_killed or not scene.control.has_fired, f"ended with {done.code}: {done.said[-800:]}")
    unflushed = Unflushed()
    for event in read_log(log)[: point - 1]:  # the last one did not happen any more
        unflushed.add(event)
    lost = lose_content(unflushed) if row.options["lost"] == "content" else lose_names(unflushed)
    scene.check_half(kind)
    scene.check_rerun(kind)
    return 1, f"{lost} were lost"
