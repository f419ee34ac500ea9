"""Types of paths that specs name: below the folder of a corpus, so that a spec cannot lead elsewhere; and patterns."""

from __future__ import annotations

import re
from collections.abc import Callable
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


def check_group(name: str) -> Callable[[str], str]:
    """A check that a text is a regular expression with a group of this name, or empty."""

    def check(pattern: str) -> str:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if pattern and name not in groups:
            raise ValueError(f"expected a group (?P<{name}>...)")
        return pattern

    return check
