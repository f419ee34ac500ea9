"""What house-keeping knows of a store: its folders by key, which are being made, and what every part belongs to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from wavlm.pipeline.artifacts import Corpus, Evaluation, ImportedModel
from wavlm.pipeline.garbage.kept import Kept, holds, key_of_folder, lineage_of
from wavlm.pipeline.store import Store
from wavlm.storage.holders import find_owner


class What(StrEnum):
    """The kinds of garbage, in the order in which they are shown."""

    TRASH = "trash"
    UNFINISHED = "unfinished"
    ARCHIVES = "archives"
    AUDIO = "audio"
    FEATURES = "features"
    SNAPSHOTS = "snapshots"
    GENERATIONS = "generations"


@dataclass(frozen=True)
class Item:
    """One file or folder that may go. `part_of`: the complete artifact that goes on without it."""

    what: What
    path: Path
    why: str
    lock: Path | None = None  # of whoever may work on it
    part_of: Path | None = None
    num_bytes: int = 0  # that are free when this and all items before it are deleted


@dataclass(frozen=True)
class Survey:
    """A store, and what of it is kept. `remarks` says why something stays although it looks as if it could go."""

    store: Store
    kept: Kept
    remarks: list[str] = field(default_factory=list)

    @cached_property
    def folders(self) -> Mapping[str, Path]:
        """All complete artifacts, by key."""
        return {key_of_folder(folder): folder for folder in self.store.folders()}

    @cached_property
    def begun(self) -> tuple[Path, ...]:
        """All unfinished attempts."""
        return tuple(sorted(self.store.root.glob("*/.*.partial")))

    def of_kind(self, kind: str) -> Iterator[tuple[str, Path]]:
        """Key and folder of the complete artifacts of a kind that are kept."""
        kept = ((key, folder) for key, folder in self.folders.items() if key in self.kept.reasons)
        return ((key, folder) for key, folder in kept if folder.parent.name == kind)

    def lock_of(self, folder: Path) -> Path:
        """The lock of an artifact, complete or under way."""
        return self.store.root / "locks" / f"{folder.parent.name}-{key_of_folder(folder)}.lock"

    def find_evaluating(self) -> str | None:
        """Who reads the features of the store: an evaluation under way."""
        for folder in self.begun:
            if folder.parent.name == Evaluation.kind and (owner := find_owner(self.lock_of(folder))):
                return f"{owner} makes {self.name_of(folder)}"
        return None

    def may_belong(self, folder: Path) -> bool:
        """Whether an artifact is, or is made from, a corpus or a model whose present key nobody knows."""
        family = [folder, *(self.folders[key] for key in lineage_of(folder, self.folders) if key in self.folders)]
        kinds = {Corpus.kind, ImportedModel.kind}
        sources = {name_of_folder(item) for item in family if item.parent.name in kinds}
        return not self.kept.unread.isdisjoint(sources)

    def is_inside(self, path: Path) -> bool:
        """Whether a path lies in the store itself. What a link leads to is somebody else's."""
        root, real = os.path.realpath(self.store.root), os.path.realpath(path)
        inside = not path.is_symlink() and real.startswith(root + os.sep)
        if not inside:
            self.remarks.append(f"{self.name_of(path)} stays: it is a link, or lies behind one")
        return inside

    def is_start(self, path: Path) -> bool:
        """Whether a kept recipe starts a training from this, or from what lies in it."""
        if found := holds(path, self.kept.starts):
            self.remarks.append(f"{self.name_of(path)} stays: a kept recipe starts from it")
        return found

    def name_of(self, path: Path) -> str:
        return str(path.relative_to(self.store.root))


def name_of_folder(folder: Path) -> str:
    """The readable part of a folder's name."""
    return folder.name.lstrip(".").removesuffix(".partial").rpartition("-")[0]
