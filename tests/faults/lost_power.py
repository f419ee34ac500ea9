"""What a loss of power takes from a disk: all that was not flushed, by the log of events (`events.c`)."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Event:
    """A line of the log."""

    what: str
    size: int  # of the file before the event; -1: it was not there
    path: Path
    other: Path  # what it is renamed to


@dataclass
class Unflushed:
    """What a loss of power may take."""

    flushed_bytes: dict[Path, int] = field(default_factory=dict)  # of files that were written since
    names: list[tuple[Path, Path | None]] = field(default_factory=list)  # made there; or moved there, from where

    def add(self, event: Event) -> None:
        """What an event changes of it."""
        changes = {"rename": self._rename, "create": self._create, "folder": self._create, "remove": self._remove}
        changes |= {"open": self._open, "open-empty": self._open, "write": self._write, "flush": self._flush}
        if event.what == "flush-all":
            self.flushed_bytes, self.names = {}, []
        else:
            changes[event.what](event)

    def _open(self, event: Event) -> None:
        if event.size < 0:
            self._create(event)
        elif event.what == "open-empty":
            self.flushed_bytes[event.path] = 0

    def _write(self, event: Event) -> None:
        self.flushed_bytes.setdefault(event.path, max(event.size, 0))

    def _flush(self, event: Event) -> None:
        self.flushed_bytes.pop(event.path, None)
        self.names = [(path, source) for path, source in self.names if path.parent != event.path]

    def _rename(self, event: Event) -> None:
        moved = {_moved(path, event.path, event.other): size for path, size in self.flushed_bytes.items()}
        self.flushed_bytes = moved
        self.names = [(_moved(path, event.path, event.other), source) for path, source in self.names]
        self.names.append((event.other, event.path))

    def _create(self, event: Event) -> None:
        self.names.append((event.path, None))

    def _remove(self, event: Event) -> None:
        self.flushed_bytes.pop(event.path, None)
        self.names = [(path, source) for path, source in self.names if path != event.path]


def _moved(path: Path, source: Path, other: Path) -> Path:
    return other / path.relative_to(source) if path.is_relative_to(source) else path


def read_log(path: Path) -> list[Event]:
    """The events of a trial, in their order."""
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    lines.sort(key=lambda line: int(line[0]))
    return [Event(what, int(size), Path(name), Path(other)) for _, what, size, name, other in lines]


def lose_content(unflushed: Unflushed) -> int:
    """Cut each file to what was flushed of it; how many were longer."""
    longer = [(path, size) for path, size in unflushed.flushed_bytes.items()
              if path.is_file() and path.stat().st_size > size]  # fmt: skip
    for path, size in longer:
        os.truncate(path, size)
    return len(longer)


def lose_names(unflushed: Unflushed) -> int:
    """Take back each name, the last one first; how many there were. What was removed stays removed."""
    lost, left = 0, list(unflushed.names)
    while left:
        path, source = left.pop()
        if not path.exists():
            continue
        lost += 1
        if source is not None and source.parent.is_dir():
            path.rename(source)
            left = [(_moved(name, path, source), origin) for name, origin in left]
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return lost
