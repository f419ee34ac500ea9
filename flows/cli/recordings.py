"""Recordings that a command is given."""

from __future__ import annotations

from pathlib import Path


def names_of(files: list[Path]) -> dict[str, Path]:
    """Files by their names without folder and ending, which results have. Raises UsageError (NAME_TWICE)."""
    from wavlm.errors import UsageError

    names: dict[str, Path] = {}
    for path in files:
        if names.setdefault(path.stem, path) != path:
            raise UsageError(
                "NAME_TWICE",
                f"{names[path.stem]} and {path} have one name, by which results are named; in the command; rename one",
            )
    return names
