"""Promise: a disk that does not answer is named; the work goes on when it answers again, or ends with 75.

Injection: from an event on files on, neither this nor any later one returns, nor does opening for reading; for so many
`seconds`, or for ever. The limits of the product are shortened by a factor of sixty or more.
"""

from __future__ import annotations

from unittest.mock import patch

from tests.faults.catalogue import Row
from tests.faults.events import Action, Fault
from tests.faults.scene import Scene
from tests.faults.trial import promise
from wavlm.errors import EXIT_STOPPED
from wavlm.storage import disk_watch

QUICK = {"PROBE_SECONDS": 0.1, "LOOK_SECONDS": 0.1, "SILENT_SECONDS": 0.5, "GIVE_UP_SECONDS": 6.0,
         "LAST_WORDS_SECONDS": 1.0}  # fmt: skip
NAMED_SECONDS = 60.0  # far above what these limits come to, for a busy machine


def count(scene: Scene, row: Row) -> int:
    """The events of an undisturbed run."""
    return scene.count(str(row.options["kind"]))


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Hang, look at what was said and how it ended, run again, compare."""
    kind, seconds = str(row.options["kind"]), int(str(row.options.get("seconds", 0)))
    scene.expected  # noqa: B018 - before the trial, whose folder it uses
    scene.fresh(kind)
    with patch.multiple(disk_watch, **QUICK):
        done = scene.run(kind, Fault(Action.HANG, point, error=seconds))
    has_fired = scene.control.has_fired
    if has_fired:
        promise(f"at {scene.store}" in done.said, f"the disk is not named: {done.said[-800:]}")
        promise("the disk has not answered for" in done.said, f"that it hangs is not said: {done.said[-800:]}")
        promise(done.seconds < NAMED_SECONDS, f"it took {done.seconds:.0f} s")
    if has_fired and not seconds:
        promise(done.code == EXIT_STOPPED, f"ended with {done.code}: {done.said[-800:]}")
        promise(done.last_line.startswith("DISK_HUNG: "), f"the last words: {done.last_line}")
    else:
        promise(done.code == 0, f"ended with {done.code}: {done.said[-800:]}")
    scene.check_half(kind)
    scene.check_rerun(kind)
    return int(has_fired), f"ended with {done.code} after {done.seconds:.1f} s"
