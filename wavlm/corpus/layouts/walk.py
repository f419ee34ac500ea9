"""Find everything below a folder: files, links, and what cannot be read. Nothing is skipped in silence.

`glob` and `rglob` leave out folders that cannot be listed, and links to folders, without a word.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from wavlm.storage.disk_watch import watch_disk

NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
MAX_VISITS = 16  # of one folder through links. Links that cross each other would make any number of paths


class Kind(Enum):
    """What a name in a folder is. Links have the kind of what they lead to."""

    FILE = "file"
    FOLDER_UNREADABLE = "folder-unreadable"
    FILE_UNREADABLE = "file-unreadable"
    LINK_BROKEN = "link-broken"  # leads nowhere, or to itself
    LINK_LOOP = "link-loop"  # leads to a folder that it lies in
    LINK_HIDDEN = "link-hidden"  # a hidden one that leads to a folder
    LINK_AGAIN = "link-again"  # leads to a folder that many other links lead to
    SPECIAL = "special"  # a FIFO, a device or a socket: never opened


@dataclass(frozen=True, slots=True)
class Found:
    """One name below the folder. `path` is relative, as the system spells it."""

    path: str
    kind: Kind
    folder: str  # that it lies in, without links; many share one
    target: str = ""  # what it leads to, without links; empty: it is no link
    detail: str = ""  # what the system said

    @property
    def real(self) -> str:
        """The same file without links, to tell whether two paths lead to one file."""
        return self.target or f"{self.folder.rstrip('/')}/{self.path.rpartition('/')[2]}"

    @property
    def is_hidden(self) -> bool:
        return (self.path.startswith(".") and self.path != ".") or "/." in self.path


@dataclass(frozen=True)
class _Folder:
    path: str  # relative; empty or with a `/` at its end
    real: str
    holders: tuple[str, ...]  # real folders whose links led here, and which must not be met again


@dataclass
class _Walk:
    found: list[Found] = field(default_factory=list)
    visits: Counter[str] = field(default_factory=Counter)


def walk(root: Path) -> list[Found]:
    """Everything below a folder but the folders themselves, in the order of the paths. Links are followed.

    A link to a folder that it lies in is not followed, so no path is endless. Whether a file can be opened is not
    looked at. A disk that does not answer is named, and ends the process at last.
    """
    made = _Walk()
    with watch_disk(root):
        todo = [_Folder("", os.path.realpath(root), ())]
        while todo:
            todo += _list(todo.pop(), made)
    made.found.sort(key=lambda item: item.path)
    return made.found


def _list(folder: _Folder, made: _Walk) -> Iterator[_Folder]:
    """Add what is in one folder to `made`. Returns the folders in it."""
    try:
        with os.scandir(folder.real) as entries:
            listed = list(entries)
    except OSError as error:
        path = folder.path.rstrip("/") or "."
        made.found.append(Found(path, Kind.FOLDER_UNREADABLE, "", folder.real, _reason(error)))
        return
    for entry in sorted(listed, key=lambda entry: entry.name):
        path, real = folder.path + entry.name, f"{folder.real.rstrip('/')}/{entry.name}"
        try:
            if entry.is_symlink():
                yield from _follow(folder, path, real, made)
            elif entry.is_dir(follow_symlinks=False):
                yield _Folder(f"{path}/", real, folder.holders)
            else:
                kind = Kind.FILE if entry.is_file(follow_symlinks=False) else Kind.SPECIAL
                made.found.append(Found(path, kind, folder.real))
        except OSError as error:
            kind = Kind.LINK_BROKEN if error.errno in NOWHERE else Kind.FILE_UNREADABLE
            made.found.append(Found(path, kind, folder.real, detail=_reason(error)))


def _follow(folder: _Folder, path: str, link: str, made: _Walk) -> Iterator[_Folder]:
    """Add what a link leads to, or return it if it is a folder. Raises OSError if it cannot be followed."""
    mode = os.stat(link).st_mode  # noqa: PTH116 - a Path for every file would take as long as the walk
    real = os.path.realpath(link)
    kind = _kind(folder, path, mode, real, made)
    if kind is not None:
        made.found.append(Found(path, kind, folder.real, real))
    else:
        made.visits[real] += 1
        yield _Folder(f"{path}/", real, (*folder.holders, folder.real))


def _kind(folder: _Folder, path: str, mode: int, real: str, made: _Walk) -> Kind | None:
    """What a link leads to; None: a folder that is to be read."""
    if not stat.S_ISDIR(mode):
        return Kind.FILE if stat.S_ISREG(mode) else Kind.SPECIAL
    if any(f"{holder}/".startswith(f"{real.rstrip('/')}/") for holder in (folder.real, *folder.holders)):
        return Kind.LINK_LOOP
    if Found(path, Kind.FILE, folder.real).is_hidden:
        return Kind.LINK_HIDDEN
    return Kind.LINK_AGAIN if made.visits[real] >= MAX_VISITS else None


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
