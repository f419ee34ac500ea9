"""Stores that a group shares: what is made in one can be changed by all members, as its folder can.

A folder that its group may write (`chmod g+ws`) is shared. Then what this process makes is writable for the group,
whatever the user's umask is; nothing else changes.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path

_UMASK = re.compile(r"^Umask:\s*([0-7]+)$", re.MULTILINE)


def share_with_group(root: Path) -> None:
    """Let the group write what this process and its children make from now on, if it may write this folder.

    A folder that is not there yet is shared if the one that it will lie in is, and hands its group down (setgid).
    The folder's owner also makes all that lies in it belong to the folder's group.
    """
    try:
        place = next(item for item in (root, *root.parents) if item.exists())
        found = place.stat()
    except OSError:
        return
    if not is_shared(found.st_mode) or (place != root and not _hands_down(found.st_mode)):
        return
    os.umask(_umask() & ~stat.S_IWGRP)
    if place == root and found.st_uid == os.geteuid() and not found.st_mode & stat.S_ISGID:
        with suppress(OSError):  # a file system without groups
            root.chmod(stat.S_IMODE(found.st_mode) | stat.S_ISGID)


def share_file(path: Path) -> None:
    """Let the group write a file of this user, if it may write the file's folder."""
    found = path.stat()
    if found.st_uid == os.geteuid() and is_shared(path.parent.stat().st_mode) and not found.st_mode & stat.S_IWGRP:
        path.chmod(stat.S_IMODE(found.st_mode) | stat.S_IWGRP)


def is_shared(mode: int) -> bool:
    """Whether a folder with this mode is one that its group may write."""
    return bool(mode & stat.S_IWGRP)


def mode_in(folder: Path) -> int:
    """The mode of a new file in a folder: readable for all, and writable for the group if the folder is."""
    return 0o664 if is_shared(folder.stat().st_mode) else 0o644


def _hands_down(mode: int) -> bool:
    """Whether a folder is a group's own, and not one for everybody such as /tmp."""
    return bool(mode & stat.S_ISGID) and not mode & stat.S_IWOTH


def _umask() -> int:
    """This process's umask, without changing it where the kernel tells it."""
    with suppress(OSError):
        if found := _UMASK.search(Path("/proc/self/status").read_text()):
            return int(found[1], 8)
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
