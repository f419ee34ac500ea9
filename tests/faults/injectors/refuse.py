"""Promise: a disk that refuses is an error with a code, nothing half is visible, and the rerun gives the same bytes.

Injection: one event on files fails, or all from one on do. Options: `error` (the errno's name), `what` (one, space,
names, all).
"""

from __future__ import annotations

import errno

from tests.faults.catalogue import Row
from tests.faults.events import Action, Fault
from tests.faults.scene import Scene
from tests.faults.trial import Ended, promise

ACTIONS = {"one": Action.FAIL, "space": Action.FULL, "names": Action.NO_NAMES, "all": Action.READ_ONLY}
CODED = {65, 69, 71, 73, 75, 77}
PARTS = 3  # of a message: what; where; what to do


def count(scene: Scene, row: Row) -> int:
    """The events of an undisturbed run."""
    return scene.count(str(row.options["kind"]))


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Refuse, look, run again, compare."""
    kind = str(row.options["kind"])
    scene.expected  # noqa: B018 - before the trial, whose folder it uses
    scene.fresh(kind)
    number = getattr(errno, str(row.options["error"]))
    done = scene.run(kind, Fault(ACTIONS[str(row.options["what"])], point, error=number))
    has_fired = scene.control.has_fired
    check_message(done)
    scene.check_half(kind)
    scene.check_rerun(kind)
    said = done.last_line if done.code else "survived"
    return int(has_fired), said if has_fired else "there was no such event this time"


def check_message(done: Ended) -> None:
    """An error with a code, in the form of all messages; or no error at all."""
    promise(done.code in {0, *CODED}, f"ended with {done.code} and no code: {done.said[-800:]}")
    if done.code:
        coded = done.last_line
        code, _, text = coded.partition(": ")
        is_in_form = code.replace("_", "").isupper() and len(text.split("; ")) >= PARTS
        promise(is_in_form, f"a message in another form: {coded}")
