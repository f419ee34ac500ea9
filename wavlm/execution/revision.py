"""Which code runs: the git commit of this clone, if it is one."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

_SECONDS = 10.0


@cache
def find_revision() -> str | None:
    """The commit, with `-dirty` behind it if files differ from it; None for an installed wheel, or without git.

    A clone of something else that this package only lies in, as in `.venv/lib`, does not count: it must have this file.
    """
    here = Path(__file__)
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return None
    return _git(here.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None if it fails, is missing or takes too long."""
    command = ["git", "-C", str(folder), *arguments]
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # a hook's are another's
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False, env=own)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
