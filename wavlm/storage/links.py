"""Take over a file that another complete artifact holds, without writing its bytes again where the disk allows it.

In this order: a reflink (btrfs, XFS: own file, shared blocks), a hard link (one file, two names), a copy. A hard link
is safe because nothing writes into a file of a store: every writer makes a new file and renames it. A store that is
copied without links has copies, which are the same to every reader.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from wavlm.storage.files import sync
from wavlm.storage.sharing import mode_in

FICLONE = 0x40049409  # <linux/fs.h>; Python names it from 3.14 on


def take_over(source: Path, target: Path) -> None:
    """Give a file a further name or a copy. What lies at `target` is replaced. Raises OSError.

    The bytes are not read: the caller compares the target with their sha256.
    """
    # Another machine may take over the same file, in a process of the same number.
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")
    try:
        _take(source, temporary)
        temporary.replace(target)
    finally:
        with suppress(FileNotFoundError):  # a rename between two names of one file does nothing
            temporary.unlink()


def _take(source: Path, target: Path) -> None:
    if _clone(source, target):
        return
    with suppress(OSError):  # another disk, a file system without links, a file of somebody else
        os.link(source, target, follow_symlinks=False)
        return
    shutil.copyfile(source, target)
    target.chmod(mode_in(target.parent))
    sync(target)


def _clone(source: Path, target: Path) -> bool:
    """Share the blocks of a file; false if the file system cannot."""
    with source.open("rb") as read, target.open("xb") as written:
        try:
            fcntl.ioctl(written, FICLONE, read.fileno())
        except OSError:
            target.unlink()
            return False
    target.chmod(mode_in(target.parent))
    sync(target)
    return True
