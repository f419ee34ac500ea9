"""Complete artifacts of a kind: those of the same name, whose parts are taken over, and the one that differs least."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wavlm.pipeline.artifacts import Artifact
from wavlm.pipeline.differences import Difference, differences_between
from wavlm.pipeline.fit import find_broken
from wavlm.pipeline.record import RECORD_FILE, read_field

Nearest = tuple[Path, tuple[Difference, ...]]


def complete_in(kind: Path) -> list[Path]:
    """Folders of the complete artifacts of a kind, by name. One under way may hold a record for a moment."""
    return [found.parent for found in sorted(kind.glob(f"[!.]*/{RECORD_FILE}"))]


def find_siblings(artifact: Artifact, kind: Path, own: Path) -> list[Path]:
    """Folders of the complete artifacts of the same name and format but its own, the newest first."""
    found = [
        folder
        for folder in complete_in(kind)
        if _name_of(folder) == artifact.name
        and folder != own
        and not find_broken(folder)
        and read_field(folder, "identity").get("format") == artifact.format
    ]
    return sorted(found, key=lambda folder: (folder / RECORD_FILE).stat().st_mtime_ns, reverse=True)


def find_nearest(artifact: Artifact, kind: Path) -> Nearest | None:
    """The complete artifact that differs least, and what differs; None if there is none. Others' names come second."""
    folders = complete_in(kind)
    same = [folder for folder in folders if _name_of(folder) == artifact.name]
    others = (folder for folder in folders if _name_of(folder) != artifact.name)
    return _choose(same, artifact) or _choose(others, artifact)


def _choose(folders: Iterable[Path], artifact: Artifact) -> Nearest | None:
    whole = (folder for folder in folders if not find_broken(folder))
    found = ((f, tuple(differences_between("", read_field(f, "identity"), artifact.identity))) for f in whole)
    return min(found, key=lambda item: (len(item[1]), item[0]), default=None)


def _name_of(folder: Path) -> str:
    return folder.name.rpartition("-")[0]
