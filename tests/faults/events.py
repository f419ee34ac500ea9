"""Events on files of a program and all its processes: counted, or one of them made fatal or failing.

`events.c` is compiled when a campaign starts, and preloaded into it and into every process that it starts. A block of
control in a file, which all of them map, says what happens at which event. Python's audit hooks would not do: Rust and
C++ libraries write most of the files.
"""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("events.c")
VARIABLE = "FAULTS_CONTROL"
HEAD = struct.Struct("<6i2q")  # armed, action, who, error, leader, fired; at, count
NAME_BYTES = 1024  # of the folder, and of the log


class Action(IntEnum):
    """What happens at an event; the numbers are those of events.c."""

    COUNT = 0
    KILL = 1  # kill -9 before it
    HALF = 2  # half of what is written, then kill -9
    FAIL = 3  # it alone fails
    FULL = 4  # it and all later ones fail that need space
    NO_NAMES = 5  # it and all later ones fail that make a new file or folder
    READ_ONLY = 6  # it and all later ones fail
    HANG = 7  # it and all later ones do not return


class Whose(IntEnum):
    """The processes whose events count."""

    ANYBODY = 0
    LEADER = 1  # the first process of a trial
    OTHERS = 2  # those that it starts


@dataclass(frozen=True)
class Fault:
    """What happens at which event below a folder."""

    action: Action = Action.COUNT
    at: int = 0
    whose: Whose = Whose.ANYBODY
    error: int = 0  # errno of an event that fails; seconds that one hangs, 0: for ever


class Control:
    """The block of control of this campaign."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._block = mmap.mmap(file.fileno(), HEAD.size + 2 * NAME_BYTES)

    @contextmanager
    def armed(self, fault: Fault, folder: Path, log: Path | None = None) -> Iterator[None]:
        """Events below the folder count while the block runs, from none on. Each gets a line of the log."""
        names = b"".join(os.fsencode(path or "").ljust(NAME_BYTES, b"\0") for path in (folder, log))
        self._block[HEAD.size :] = names
        self._block[: HEAD.size] = HEAD.pack(1, fault.action, fault.whose, fault.error, 0, 0, fault.at, 0)
        try:
            yield
        finally:
            self._block[:4] = bytes(4)

    def lead(self) -> None:
        """This process is the leader from now on."""
        self._block[16:20] = struct.pack("<i", os.getpid())

    @property
    def count(self) -> int:
        """Events since the control was armed."""
        return int(HEAD.unpack(self._block[: HEAD.size])[7])

    @property
    def has_fired(self) -> bool:
        """Whether the event came that something happens at."""
        return bool(HEAD.unpack(self._block[: HEAD.size])[5])


def preloaded(folder: Path) -> Mapping[str, str]:
    """Compile the library into a folder; the variables that a program needs which is to have it."""
    library, block = folder / "events.so", folder / "control"
    folder.mkdir(parents=True, exist_ok=True)
    command = ["cc", "-O2", "-shared", "-fPIC", "-w", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    block.write_bytes(bytes(HEAD.size + 2 * NAME_BYTES))
    return {"LD_PRELOAD": str(library), VARIABLE: str(block), "OMP_NUM_THREADS": "1"}


def require_preloaded(folder: Path, arguments: list[str]) -> None:
    """Start this program again with the library, unless it has it."""
    if VARIABLE not in os.environ:
        os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, **preloaded(folder)})  # noqa: S606


def control() -> Control:
    """That of the campaign that this process belongs to."""
    return Control(Path(os.environ[VARIABLE]))
