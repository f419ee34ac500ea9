"""Notes of holders: which process of whom holds a lock, since when, and for which run; and whether it still runs.

Whether a process of this machine runs is asked of the kernel. Another container is another machine: it may number its
processes alike.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

# A holder on another machine renews its note every few seconds. Clocks of machines differ, so messages believe more.
BELIEVED_SECONDS = 3600.0
# What the locks below are taken for, as people know it: the name of a run. It is for messages alone.
_run: ContextVar[str] = ContextVar("wavlm_run", default="")


@dataclass(frozen=True)
class Holder:
    """Who wrote a note. What a damaged note does not say is empty."""

    token: str  # of this hold alone; empty if the note cannot be read
    machine: str
    pid: int
    started: str  # when the process began, as its kernel counts: a process id is used again
    text: str  # for messages

    @property
    def is_here(self) -> bool:
        """Whether the kernel of this process knows the holder."""
        return self.machine == this_machine()

    @property
    def has_ended(self) -> bool:
        """Whether it is sure that the holder has ended, because it ran on this machine."""
        return self.is_here and not _runs(self.pid, self.started)


UNKNOWN = Holder("", "", 0, "", "a process that left no note")


@contextmanager
def name_run(name: str) -> Iterator[None]:
    """Let notes that are written while the block runs say that it is for this run."""
    token = _run.set(name)
    try:
        yield
    finally:
        _run.reset(token)


def describe_self(token: str) -> str:
    """The note of this process, as JSON."""
    return json.dumps(
        {
            "token": token,
            "machine": this_machine(),
            "pid": os.getpid(),
            "started": _when_started(os.getpid()),
            "host": socket.gethostname(),
            "user": _user(),
            "since": time.time(),
            "run": _run.get(),
        }
    )


def read_holder(note: Path) -> Holder | None:
    """Who wrote a note; None if there is no note. One that cannot be read is of an unknown holder."""
    try:
        return parse_holder(note.read_bytes())
    except FileNotFoundError:
        return None
    except OSError:
        return UNKNOWN


def parse_holder(note: bytes) -> Holder:
    """Who wrote this note; an unknown holder if it does not say so."""
    try:
        found = json.loads(note)
        machine = found.get("machine") or (this_machine() if found["host"] == socket.gethostname() else "another")
        token = str(found.get("token") or f"{found['pid']}-{found.get('since', 0)}")
        return Holder(token, str(machine), int(found["pid"]), str(found.get("started", "")), _describe(found))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return UNKNOWN


def find_owner(lock: Path) -> str | None:
    """The process that holds a lock, alone or as one of several, as text; None if nobody does. Takes no lock."""
    notes = [note_of(lock), *lock.parent.glob(f"{lock.name}.*{SHARED}")]
    return next((holder.text for note in notes if (holder := read_holder(note)) and is_believed(note, holder)), None)


def is_believed(note: Path, holder: Holder) -> bool:
    """Whether a holder seems to live, for a look that does not wait to see its heartbeat."""
    if holder.is_here:
        return not holder.has_ended
    try:
        return time.time() - note.stat().st_mtime < BELIEVED_SECONDS
    except OSError:
        return False


def note_of(lock: Path) -> Path:
    """The note of who holds a lock alone. It is the lock: who makes it holds it."""
    return lock.with_name(f"{lock.name}.owner")


SHARED = ".reader"


@cache
def this_machine() -> str:
    """What tells this kernel's processes from others: host, boot, and the namespace that numbers processes."""
    return f"{socket.gethostname()}/{_first_line('/proc/sys/kernel/random/boot_id')}/{_namespace()}"


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - no path, but the name of a namespace
    except OSError:
        return ""


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _runs(pid: int, started: str) -> bool:
    """Whether a process of this machine runs. One that has ended, and whose parent has not asked how, does not."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass  # as another user
    except (OSError, OverflowError):
        return False
    now = _when_started(pid)
    return now != "ended" and (not started or not now or now == started)


def _when_started(pid: int) -> str:
    """When a process began, in ticks since the boot; "ended" for a zombie, "" if the system does not say."""
    if not sys.platform.startswith("linux"):
        return ""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "ended" if fields[0] in {"Z", "X"} else fields[19]


def _describe(found: dict[str, Any]) -> str:
    parts = [f"process {found['pid']} on {found['host']}"]
    if user := found.get("user"):
        parts.append(f"user {user}")
    if since := found.get("since"):
        parts.append(f"since {datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M} UTC")
    if run := found.get("run"):
        parts.append(f"run {run!r}")
    return ", ".join(parts)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a name for its user
        return str(os.getuid())
