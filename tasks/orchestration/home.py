"""Where Prefect keeps what a store's runs were: a folder of the store, or of the user where others' files are in it.

On a disk that several machines see, it is a folder of this machine. Each `wavlm run` has a server of its own, whose
database (SQLite, in WAL mode) may be opened by processes of one machine alone (https://sqlite.org/wal.html).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from wavlm.storage.files import nearest_existing
from wavlm.storage.mounts import is_remote

FILES = ("prefect.db", "server.log")


def prefect_home(root: Path) -> Path:
    """`<store>/prefect`; a folder in it for this user if the files there belong to somebody who did not share them.

    Of a store that several machines see: a folder for temporary files of this machine and user.
    """
    if is_remote(nearest_existing(root)):
        return _of_this_machine(root)
    home = root / "prefect"
    if home.is_dir() and any(path.exists() and not os.access(path, os.W_OK) for path in map(home.joinpath, FILES)):
        return home / f"user-{os.getuid()}"
    return home


def _of_this_machine(root: Path) -> Path:
    """A folder that only this user can enter. One that somebody else has made under that name is not used."""
    folder = Path(tempfile.gettempdir()) / f"wavlm-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        folder = Path(tempfile.mkdtemp(prefix="wavlm-"))
    return folder / "prefect" / hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:12]
