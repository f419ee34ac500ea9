"""`dropped.json`: the files of a complete artifact that house-keeping deleted. They are not missing, and no damage."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wavlm.storage.facts import Facts, read_facts
from wavlm.storage.files import write_json

DROPPED_FILE = "dropped.json"


class DroppedFacts(Facts):
    """Names relative to the folder, and when they were deleted."""

    files: tuple[str, ...]
    unix: float


def read_dropped(folder: Path) -> frozenset[str]:
    """Names of the files of an artifact that were deleted on purpose; raises BadDataError (RECORD_BROKEN)."""
    path = folder / DROPPED_FILE
    return frozenset(read_facts(path, DroppedFacts).files) if path.is_file() else frozenset()


def write_dropped(folder: Path, names: Iterable[str], unix: float) -> None:
    """Note that these files are deleted, too. Written before they are: a file that is still there does no harm."""
    files = tuple(sorted(read_dropped(folder).union(names)))
    write_json(folder / DROPPED_FILE, DroppedFacts(files=files, unix=unix).model_dump(mode="json"))
