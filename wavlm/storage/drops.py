"""`dropped.json`: the files of a complete artifact that house-keeping deleted. They are not missing, and no damage."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wavlm.storage.digested import read_digested, write_digested
from wavlm.storage.facts import Facts
from wavlm.storage.seals import DROPPED_FILE, broken


class DroppedFacts(Facts):
    """Names relative to the folder, and when they were deleted."""

    files: tuple[str, ...]
    unix: float


def read_dropped(folder: Path) -> frozenset[str]:
    """Names of the files of an artifact that were deleted on purpose; raises BadDataError (RECORD_BROKEN)."""
    path = folder / DROPPED_FILE
    try:
        found = read_digested(path)
        if not found.has_digest:
            raise broken(path, "it has no digest")
        return frozenset(DroppedFacts.model_validate(found.content, strict=False).files)
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError) as error:
        raise broken(path, error) from error


def write_dropped(folder: Path, names: Iterable[str], unix: float) -> None:
    """Note that these files are deleted, too. Written before they are: a file that is still there does no harm."""
    _write(folder, read_dropped(folder).union(names), unix)


def keep_again(folder: Path, names: Iterable[str], unix: float) -> None:
    """Note that these files are not deleted after all."""
    _write(folder, read_dropped(folder).difference(names), unix)


def _write(folder: Path, names: frozenset[str], unix: float) -> None:
    facts = DroppedFacts(files=tuple(sorted(names)), unix=unix)
    write_digested(folder / DROPPED_FILE, facts.model_dump(mode="json"))
