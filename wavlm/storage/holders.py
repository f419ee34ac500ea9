"""Notes beside locks: which process of whom holds one, since when, and for which run."""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

# What the locks below are taken for, as people know it: the name of a run. It is for messages alone.
_run: ContextVar[str] = ContextVar("wavlm_run", default="")


@contextmanager
def name_run(name: str) -> Iterator[None]:
    """Let notes that are written while the block runs say that it is for this run."""
    token = _run.set(name)
    try:
        yield
    finally:
        _run.reset(token)


def write_owner(note: Path) -> None:
    """Write down that this process holds the lock beside the note."""
    owner = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "user": _user(),
        "since": time.time(),
        "run": _run.get(),
    }
    note.unlink(missing_ok=True)  # one that a killed process of another user left cannot be written
    note.write_text(json.dumps(owner))


def describe_owner(note: Path) -> str:
    """The holder that wrote this note, as text for a message."""
    try:
        found = json.loads(note.read_text())
        parts = [f"process {found['pid']} on {found['host']}"]
        if user := found.get("user"):
            parts.append(f"user {user}")
        if since := found.get("since"):
            parts.append(f"since {datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M} UTC")
        if run := found.get("run"):
            parts.append(f"run {run!r}")
        return ", ".join(parts)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return "a process that left no note"


def find_owner(lock: Path) -> str | None:
    """The process that holds a lock, as text; None if nobody does. Looks only: no lock is taken or created."""
    note = lock.with_name(f"{lock.name}.owner")
    return describe_owner(note) if is_alive(note) else None


def is_alive(note: Path) -> bool:
    """Whether the holder still runs; one on another machine is believed."""
    try:
        found = json.loads(note.read_text())
        if found["host"] == socket.gethostname():
            os.kill(int(found["pid"]), 0)
    except PermissionError:  # the process runs, as another user
        return True
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return False
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a name for its user
        return str(os.getuid())
