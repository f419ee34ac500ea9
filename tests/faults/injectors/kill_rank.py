"""Promise: if one of two ranks is killed, the group ends, nothing lives on, and the rerun gives the same weights.

Injection: kill -9 of a rank when the group has had so many events on files. Options: `rank`.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.faults.catalogue import Row
from tests.faults.events import Fault
from tests.faults.results import ROOT
from tests.faults.scene import Scene
from tests.faults.trial import PROC, promise, run_forked
from wavlm.execution.supervisor import run_ranks
from wavlm.storage.files import sha256_of

WEIGHTS = "model.safetensors"
CODED = {65, 69, 71, 73, 75, 77, 128 + signal.SIGKILL}  # of a group of which one was killed


def count(scene: Scene, row: Row) -> int:
    """The events of two ranks that nobody kills; their weights are kept for comparison."""
    kept = scene.folder / "two-ranks" / WEIGHTS
    shutil.rmtree(kept.parent, ignore_errors=True)
    with scene.control.armed(Fault(), kept.parent):
        done = run_forked(partial(_train, kept.parent), scene.folder / "log")
    promise(done.code == 0, f"two undisturbed ranks ended with {done.code}: {done.said[-1500:]}")
    return scene.control.count


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Kill one, run both again, compare the weights."""
    kept, out = scene.folder / "two-ranks" / WEIGHTS, scene.folder / "killed-rank"
    if not kept.exists():
        count(scene, row)
    shutil.rmtree(out, ignore_errors=True)
    with scene.control.armed(Fault(), out):
        work = partial(_train, out, (scene, int(str(row.options["rank"])), point))
        done = run_forked(work, scene.folder / "log")
    promise(done.code in {0, *CODED}, f"the group ended with {done.code}: {done.said[-800:]}")
    again = run_forked(partial(_train, out), scene.folder / "log")
    promise(again.code == 0, f"the rerun ended with {again.code}: {again.said[-1500:]}")
    promise(sha256_of(out / WEIGHTS) == sha256_of(kept), "other weights")
    return int(done.code != 0), f"the group ended with {done.code}"


def _train(out: Path, victim: tuple[Scene, int, int] | None = None) -> None:
    os.environ["PYTHONPATH"] = str(ROOT)
    os.chdir(ROOT)
    if victim:
        threading.Thread(target=_kill, args=victim, daemon=True).start()
    code = run_ranks([sys.executable, "-m", "tests.train.fakes", "train", str(out)], 2)
    sys.stdout.flush()
    os._exit(code)


def _kill(scene: Scene, rank: int, at: int) -> None:
    while scene.control.count < at:
        time.sleep(0.001)
    mark = f"RANK={rank}".encode()
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):
            is_ours = int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()
            if is_ours and mark in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
