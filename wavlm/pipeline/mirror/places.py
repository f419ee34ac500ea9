"""Where an artifact of a store lies, by its folder alone: kind, name, key, and its locks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wavlm.pipeline.record import read_head
from wavlm.pipeline.siblings import complete_in

FETCHES = "fetches"  # of a store: folders of artifacts that are being fetched


@dataclass(frozen=True)
class Place:
    """An artifact of a store, complete or not."""

    root: Path
    kind: str
    name: str
    key: str

    @classmethod
    def of(cls, folder: Path) -> Place:
        """The place of a complete artifact's folder."""
        name, _, key = folder.name.rpartition("-")
        return cls(folder.parents[1], folder.parent.name, name, key)

    def find(self) -> Path | None:
        """Its folder, under whatever name it was made; None if it is not complete."""
        made = (folder for folder in complete_in(self.root / self.kind) if folder.name.endswith(f"-{self.key}"))
        return next(made, None)

    def inputs(self) -> Iterator[tuple[str, str]]:
        """Kind and key of each artifact that this one was made from."""
        for folder in read_head(self.folder).inputs:
            kind, _, name = folder.partition("/")
            yield kind, name.rpartition("-")[2]

    @property
    def folder(self) -> Path:
        return self.root / self.kind / f"{self.name}-{self.key}"

    @property
    def begun(self) -> Path:
        """Where it lies while it is fetched. The next attempt continues there; a stage's own attempt lies elsewhere."""
        return self.root / FETCHES / f"{self.kind}-{self.key}"

    @property
    def lock(self) -> Path:
        return self.root / "locks" / f"{self.kind}-{self.key}.lock"

    @property
    def use_lock(self) -> Path:
        return self.root / "locks" / f"{self.kind}-{self.key}.use"

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}-{self.key}"
