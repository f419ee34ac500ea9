"""Promise: a command that looks into a store, or at recordings, whose disk does not answer from the first look on names
the disk, and ends with 75.

Injection: a look into the folder does not return. Each point is a command and a folder.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from unittest.mock import patch

from tests.faults.catalogue import Row
from tests.faults.events import Action, Fault
from tests.faults.injectors.hang import NAMED_SECONDS, QUICK
from tests.faults.scene import Scene, digests
from tests.faults.trial import Ended, promise, run_forked
from wavlm.errors import EXIT_STOPPED
from wavlm.storage import disk_watch

LOOKS_AT_STORE = (
    "plan RECIPE", "check RECIPE", "run RECIPE", "stage shards RECIPE", "status", "verify", "listen RECIPE OUT", "gc",
    "results", "models list", "report RECIPE", "evaluate MODEL ks-small",
)  # fmt: skip
LOOKS_AT_RECORDINGS = ("plan RECIPE", "check RECIPE", "run RECIPE", "stage corpus RECIPE", "init RECORDINGS",
                       "features MODEL RECORDINGS --layer 1 --out OUT")  # fmt: skip


def count(scene: Scene, row: Row) -> int:
    """The commands."""
    return len(LOOKS_AT_STORE) + len(LOOKS_AT_RECORDINGS)


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Run the command on the hung disk, look at what was said; what is there is as before."""
    scene.fresh("export")
    recordings = scene.recipe.parents[2] / "wavs"
    commands = [
        *((line, scene.store) for line in LOOKS_AT_STORE),
        *((line, recordings) for line in LOOKS_AT_RECORDINGS),
    ]
    line, hung = commands[point - 1]
    before = digests(hung)
    names = {"RECIPE": scene.recipe, "MODEL": scene.place("pretrain"), "RECORDINGS": recordings,
             "OUT": scene.trial / "out"}  # fmt: skip
    words = [str(names.get(word, word)) for word in line.split()]
    with patch.multiple(disk_watch, **QUICK), scene.control.armed(Fault(Action.HANG, 0), hung):
        done: Ended = run_forked(
            partial(_command, words, scene.store), scene.trial / "log", scene.control, 1.5 * NAMED_SECONDS
        )
    promise(scene.control.has_fired, f"nobody looked: ended with {done.code}: {done.said[-800:]}")
    promise("the disk has not answered for" in done.said, f"that it hangs is not said: {done.said[-800:]}")
    promise(f"/{hung.name}; " in done.said, f"the disk is not named: {done.said[-800:]}")
    promise(done.code == EXIT_STOPPED, f"ended with {done.code}: {done.said[-800:]}")
    promise(done.last_line.startswith("DISK_HUNG: "), f"the last words: {done.last_line}")
    promise(done.seconds < NAMED_SECONDS, f"it took {done.seconds:.0f} s")
    promise(digests(hung) == before, "something was changed")
    return 1, f"{line}: ended after {done.seconds:.1f} s"


def _command(words: list[str], store: Path) -> None:
    """As a shell would start it."""
    from flows.cli.main import main

    sys.argv = ["wavlm", *words, "--store", str(store)]
    main()
