"""The folder in which an attempt at an artifact works, and what becomes of one that others began."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from wavlm.errors import BadDataError
from wavlm.pipeline.record import RECORD_FILE, Seal, read_seal, write_seal


def begin(partial: Path, inputs: Mapping[str, str], trash: Path) -> None:
    """Make the partial folder. What an attempt with other inputs left in it is moved to the trash.

    So is one without a seal, or with a damaged one: nobody knows what it was made from.
    The record of one that was killed before its folder got its name goes: the folder is under way again.
    """
    (partial / RECORD_FILE).unlink(missing_ok=True)
    try:
        begun = read_seal(partial)
        is_foreign = begun.inputs != inputs if begun else partial.is_dir() and any(partial.iterdir())
    except BadDataError:
        is_foreign = True
    if is_foreign:
        discard(partial, trash)
    partial.mkdir(parents=True, exist_ok=True)
    write_seal(partial, Seal(content="", inputs=dict(inputs)))


def discard(folder: Path, trash: Path) -> Path | None:
    """Move a folder to the trash, under the name `trash` and the time; returns where it lies now, None if none was."""
    if not folder.exists():
        return None
    trash.parent.mkdir(parents=True, exist_ok=True)
    moved = trash.with_name(f"{trash.name}-{time.time_ns()}")
    folder.rename(moved)
    return moved
