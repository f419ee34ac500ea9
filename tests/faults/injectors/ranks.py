"""Promise: if one of two ranks dies, or both are stopped, nothing lives on, and the rerun gives the same weights.

Injection: when the group has had so many events on files, kill -9 of a rank (option `rank`), or SIGTERM to the process
that holds them together (no option).
"""

from __future__ import annotations

import os
import shutil
import signal
from functools import partial
from pathlib import Path

from tests.faults.catalogue import Row
from tests.faults.events import Control, Fault
from tests.faults.forked_ranks import ForkedRank, await_event, train_by_ranks
from tests.faults.scene import Scene
from tests.faults.trial import promise, run_forked, run_teaching
from tests.train import fakes
from wavlm.errors import EXIT_STOPPED
from wavlm.storage.files import sha256_of

WEIGHTS = "model.safetensors"
CODED = {65, 69, 71, 73, 75, 77, 128 + signal.SIGKILL}  # of a group of which one was killed
STOP_SECONDS = 20.0


def count(scene: Scene, row: Row) -> int:
    """The events of two ranks that nobody disturbs; their weights are kept for comparison."""
    kept = scene.folder / "two-ranks" / WEIGHTS
    run_teaching(partial(_train_once, scene.folder / "one-rank"), scene.folder / "log", "rank")
    shutil.rmtree(kept.parent, ignore_errors=True)
    with scene.control.armed(Fault(), kept.parent):
        done = run_forked(partial(train_by_ranks, kept.parent), scene.folder / "log")
    promise(done.code == 0, f"two undisturbed ranks ended with {done.code}: {done.said[-1500:]}")
    return scene.control.count


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Kill or stop, run again, compare the weights."""
    out, rank = scene.folder / "killed-rank", row.options.get("rank")
    shutil.rmtree(out, ignore_errors=True)
    with scene.control.armed(Fault(), out):
        disturb = partial(_kill, scene.control, int(str(rank)), point) if rank is not None else partial(
            _stop, scene.control, point)  # fmt: skip
        done = run_forked(partial(train_by_ranks, out, disturb), scene.folder / "log")
    if rank is None:
        promise(done.code in {0, EXIT_STOPPED}, f"the stopped group ended with {done.code}: {done.said[-800:]}")
        promise(done.seconds < STOP_SECONDS, f"a start, updates and a stop took {done.seconds:.0f} s")
    promise(done.code in {0, *CODED}, f"the group ended with {done.code}: {done.said[-800:]}")
    again = run_forked(partial(train_by_ranks, out), scene.folder / "log")
    promise(again.code == 0, f"the rerun ended with {again.code}: {again.said[-1500:]}")
    promise(sha256_of(out / WEIGHTS) == sha256_of(scene.folder / "two-ranks" / WEIGHTS), "other weights")
    return int(done.code != 0), f"the group ended with {done.code}"


def _kill(control: Control, number: int, at: int, ranks: list[ForkedRank]) -> None:
    await_event(control, at)
    ranks[number].kill()


def _stop(control: Control, at: int, _ranks: list[ForkedRank]) -> None:
    await_event(control, at)
    os.kill(os.getpid(), signal.SIGTERM)


def _train_once(out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    fakes.run(fakes.job(out))
