"""Promise: a stage that gets too little of the machine ends with a code, nothing half is visible, the rerun is right.

Injection: a limit of the kernel for a stage (option `what`: memory, files). The point says how much it may take: so
many quarters of a MiB more than the process has, or so many files, from none on.
"""

from __future__ import annotations

import itertools
import os
import resource
from functools import partial
from pathlib import Path

from tests.faults.catalogue import Row
from tests.faults.injectors.refuse import check_message
from tests.faults.scene import Scene
from tests.faults.trial import Ended, run_forked

STEP_BYTES = 256 << 10
POINTS = {"memory": 64, "files": 12}
CRASHES = {-6, -11}  # a library in C that gets no memory may abort: no Python code can say why
# As when a library was half loaded, and hides that there was no memory; and when Python itself does.
CRASHES_IN_TEXT = ("ImportError: cannot import name", "SystemError: error return without exception set")


def count(scene: Scene, row: Row) -> int:
    """The sizes of a limit."""
    return POINTS[str(row.options["what"])]


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Limit, look, run again, compare."""
    kind, what = str(row.options["kind"]), str(row.options["what"])
    scene.expected  # noqa: B018 - before the trial, whose folder it uses
    scene.fresh(kind)
    done = run_forked(partial(_work, scene, kind, what, point), scene.trial / "log")
    if not (is_crash(done) and what == "memory"):
        check_message(done)
    scene.check_half(kind)
    scene.check_rerun(kind)
    return 1, f"{done.code}: {done.last_line}" if done.code else "enough"


def is_crash(done: Ended) -> bool:
    """Whether a library ended that got no memory."""
    return done.code in CRASHES or (done.code == 1 and any(text in done.last_line for text in CRASHES_IN_TEXT))


def _work(scene: Scene, kind: str, what: str, point: int) -> None:
    if what == "memory":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit, most = resource.RLIMIT_AS, pages * os.sysconf("SC_PAGE_SIZE") + point * STEP_BYTES
    else:
        limit, most = resource.RLIMIT_NOFILE, _files_with_free(point - 1)
    resource.setrlimit(limit, (most, most))
    scene.make(kind, scene.store)


def _files_with_free(count: int) -> int:
    """The limit below which so many numbers of files are free."""
    used = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    free = (number for number in itertools.count() if number not in used)
    return next(itertools.islice(free, count, None))
