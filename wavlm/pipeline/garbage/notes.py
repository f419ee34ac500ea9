"""Notes in the store about recipes that were run with it (`recipes/`), and what each of them wants.

A recipe's file may lie on another machine, in a container, or be moved: house-keeping may not see it. So the note says
what the recipe wanted when it was run, and it counts until somebody forgets it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from wavlm.corpus.download.listed import with_listed
from wavlm.errors import UsageError
from wavlm.pipeline.artifacts import Artifact, Corpus, ImportedModel, Model
from wavlm.pipeline.imported import place_of
from wavlm.pipeline.store import Store
from wavlm.specs import FolderSource, ModelArchive, StartSpec
from wavlm.specs.yaml import find_recipe
from wavlm.storage.facts import Facts, read_facts
from wavlm.storage.files import write_json

RECIPES = "recipes"
logger = logging.getLogger(__name__)


class Remembered(Facts):
    """A recipe file that was run with this store, and what it wanted then."""

    path: str
    last_run_unix: float
    keys: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()  # names of files in downloads/
    starts: tuple[str, ...] = ()  # folders of models that it starts from
    is_whole: bool = False  # false: not all keys are known, as in the notes of earlier versions

    @property
    def is_visible(self) -> bool:
        """Whether the file can be read from here. That it cannot does not mean that nobody needs it."""
        try:
            with Path(self.path).open("rb"):
                return True
        except (OSError, ValueError):
            return False


def remember(recipe: Path | str, store: Store, artifacts: Sequence[Artifact] = ()) -> None:
    """Note that a recipe is run with this store, and what it wants, so that house-keeping keeps it.

    `artifacts`: its plan. What an earlier run of the file wanted counts until the whole plan is known; then it is said
    what house-keeping lets go of.
    """
    path = os.path.realpath(find_recipe(Path(recipe)))
    note = _place(path, store)
    note.parent.mkdir(parents=True, exist_ok=True)
    before = read_facts(note, Remembered) if note.is_file() else Remembered(path=path, last_run_unix=0)
    found = Remembered(
        path=path,
        last_run_unix=time.time(),
        keys=tuple(item.key for item in artifacts if item.is_known),
        archives=tuple(name for item in artifacts for name in archives_of(item, store)),
        starts=starts_of(artifacts),
        is_whole=bool(artifacts) and all(item.is_known for item in artifacts),
    )
    if found.is_whole:
        _say_what_goes(before, found, store)
    else:
        fields = ("keys", "archives", "starts")
        found = found.model_copy(
            update={name: tuple({*getattr(before, name), *getattr(found, name)}) for name in fields}
        )
    write_json(note, found.model_dump(mode="json"))


def read_notes(store: Store) -> Iterator[Remembered]:
    """All notes. Raises BadDataError if one is damaged: then nobody knows what its recipe wants."""
    for path in sorted((store.root / RECIPES).glob("*.json")):
        yield read_facts(path, Remembered)


def find_notes(store: Store, named: Iterable[Path]) -> tuple[Remembered, ...]:
    """The notes about these files, which need not be there. Raises UsageError (NOTHING_FITS) if there is no such."""
    notes = {note.path: note for note in read_notes(store)}
    found = []
    for path in named:
        note = notes.get(str(path)) or notes.get(os.path.realpath(path))
        if note is None:
            raise UsageError(
                "NOTHING_FITS",
                f"no recipe of this path was run with this store; at {path}; "
                f"name one of: {', '.join(notes) or 'none, for the store remembers none'}",
            )
        found.append(note)
    return tuple(found)


def forget(note: Remembered, store: Store) -> None:
    """Remove a note: what only its recipe wants may go."""
    _place(note.path, store).unlink(missing_ok=True)


def archives_of(artifact: Artifact, store: Store) -> tuple[str, ...]:
    """Names of the files in downloads/ that a corpus or a model is unpacked from."""
    if isinstance(artifact, ImportedModel):
        source = artifact.spec.source
        return (source.file_name,) if isinstance(source, ModelArchive) else ()
    if not isinstance(artifact, Corpus):
        return ()
    sources = [source for source in artifact.spec.sources if not isinstance(source, FolderSource)]
    return tuple(source.file_name for source in with_listed(sources, store.downloads))


def starts_of(artifacts: Iterable[Artifact]) -> tuple[str, ...]:
    """The real places of the models that these start from, or that they take from a folder."""
    places = (_start_of(item) for item in artifacts)
    return tuple({os.path.realpath(place): None for place in places if place})


def _start_of(artifact: Artifact) -> str | Path | None:
    if isinstance(artifact, ImportedModel):
        return place_of(artifact.spec.folder) if artifact.spec.folder else None
    start = artifact.start if isinstance(artifact, Model) else None
    return start.folder if isinstance(start, StartSpec) else None


def _place(path: str, store: Store) -> Path:
    return store.root / RECIPES / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}.json"


def _say_what_goes(before: Remembered, now: Remembered, store: Store) -> None:
    gone = set(before.keys).difference(now.keys)
    folders = [folder for folder in store.folders() if folder.name.rpartition("-")[2] in gone] if gone else []
    if folders:
        logger.info(
            "%s has changed: `wavlm gc` no longer keeps for it %s",
            now.path,
            ", ".join(str(folder.relative_to(store.root)) for folder in folders),
        )
