"""Promise: a trainer that is stopped at any moment ends with 75 within 20 s, and the rerun gives the same weights.

Injection: SIGTERM when the trainer has had so many events on files.
"""

from __future__ import annotations

import os
import signal
from functools import partial
from threading import Thread

from tests.faults.catalogue import Row
from tests.faults.events import Fault, Whose
from tests.faults.forked_ranks import await_event
from tests.faults.scene import Scene
from tests.faults.trial import promise, run_forked
from wavlm.errors import EXIT_STOPPED
from wavlm.execution.stop import keep_signals

STOP_SECONDS = 20.0


def count(scene: Scene, row: Row) -> int:
    """The events of an undisturbed run."""
    return scene.count(str(row.options["kind"]), Whose.LEADER)


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Stop, look, run again, compare."""
    kind = str(row.options["kind"])
    scene.expected  # noqa: B018 - before the trial, whose folder it uses
    scene.fresh(kind)
    with scene.control.armed(Fault(whose=Whose.LEADER), scene.store), keep_signals():
        done = run_forked(partial(_work, scene, kind, point), scene.trial / "log", scene.control)
    promise(done.code in {0, EXIT_STOPPED}, f"ended with {done.code}: {done.said[-800:]}")
    promise(done.seconds < STOP_SECONDS, f"a start, updates and a stop took {done.seconds:.0f} s")
    scene.check_half(kind)
    scene.check_rerun(kind)
    return int(done.code != 0), f"ended with {done.code}"


def _work(scene: Scene, kind: str, point: int) -> None:
    """As a trainer is started: with signals held back until it can note them. After it, its caller notes them."""
    signal.signal(signal.SIGTERM, lambda *_: None)

    def stop() -> None:
        await_event(scene.control, point)
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=stop, daemon=True).start()
    scene.make(kind, scene.store)
