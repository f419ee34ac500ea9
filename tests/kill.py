"""Kill a stage at each of its events on files, run it again, and compare the bytes.

What this changes in `os` and in the interpreter's audit hooks cannot be taken back, so a test runs
it in a process of its own (`output_of`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WATCHED = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod")


def output_of(script: str, *arguments: object) -> str:
    """What a Python script prints that runs in the repository's folder and ends well."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def kill_at_every_event(
    run: Callable[[Path], None],
    contents: Callable[[Path], dict[str, bytes]],
    work: Path,
    *,
    whole: bool = False,
) -> int:
    """Kill `run` at its first event, its second, and so on; return how many kills there were.

    Each kill has a folder of its own, where `run` is called again and must end with the bytes of an
    undisturbed run. With `whole` the files that a killed run leaves must have these bytes already.
    """
    os.fsync, os.sync = _ignored, _ignored  # a killed process loses nothing that it wrote
    run(work / "reference")
    reference = contents(work / "reference")
    number = 1
    while in_child(partial(run, work / str(number)), kill_at=number):
        folder = work / str(number)
        for path, blob in contents(folder).items() if whole else ():
            assert reference[path] == blob, f"half a file {path} after death at event {number}"
        assert in_child(partial(run, folder)) == 0, number
        assert contents(folder) == reference, f"other bytes after death at event {number}"
        number += 1
    return number - 1


def in_child(work: Callable[[], None], kill_at: int = 0) -> int:
    """Run in a copy of this process, which spares the imports; its wait status.

    With `kill_at` it is killed at that event on files.
    """
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if kill_at:
                kill_at_event(kill_at)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


def kill_at_event(number: int) -> None:
    """Have this process killed at its n-th write, flush, rename, removal or new folder from now."""
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if writes or event in WATCHED:
            count()

    os.fsync, os.sync = count, count
    sys.addaudithook(hook)


def _ignored(*_: object) -> None:
    pass
