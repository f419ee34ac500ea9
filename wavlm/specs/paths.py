"""Types of paths that specs name: below the folder of a corpus, so that a spec cannot lead elsewhere."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator


def _check_below_root(path: str) -> str:
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise ValueError("expected a path below the corpus' root")
    return path


def _check_not_empty(path: str) -> str:
    if not PurePosixPath(path).parts:
        raise ValueError("expected a glob such as **/*.flac")
    return path


Below = Annotated[str, AfterValidator(_check_below_root)]
Glob = Annotated[Below, AfterValidator(_check_not_empty)]
