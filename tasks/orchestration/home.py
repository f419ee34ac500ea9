"""Where Prefect keeps what a store's runs were: a folder of the store, or of the user where others' files are in it."""

from __future__ import annotations

import os
from pathlib import Path

FILES = ("prefect.db", "server.log")


def prefect_home(root: Path) -> Path:
    """`<store>/prefect`; a folder in it for this user if the files there belong to somebody who did not share them."""
    home = root / "prefect"
    if home.is_dir() and any(path.exists() and not os.access(path, os.W_OK) for path in map(home.joinpath, FILES)):
        return home / f"user-{os.getuid()}"
    return home
