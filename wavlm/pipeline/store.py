"""The store: a directory tree in which an artifact is complete or absent.

    <store>/<kind>/<name>-<key>/            complete: holds artifact.json, written last
    <store>/<kind>/.<name>-<key>.partial/   under way; the next attempt continues in it
    <store>/trash/, downloads/, locks/, folders/

A complete folder is never changed. `make` is the only way in. An artifact is complete as long as its inputs are those
that it was made from: if one was made again and holds something else, what was made from it is made again, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from wavlm.errors import BadDataError, UsageError
from wavlm.errors.boundary import code_errors
from wavlm.execution.progress import Progress, no_progress
from wavlm.pipeline.artifacts import KINDS, Artifact
from wavlm.pipeline.differences import Difference, differences_between
from wavlm.pipeline.fit import contents_of_inputs, find_broken, find_fault
from wavlm.pipeline.record import (
    RECORD_FILE,
    ArtifactRecord,
    Seal,
    read_field,
    read_record,
    read_seal,
    write_record,
    write_seal,
)
from wavlm.pipeline.sealing import library_versions, seal_files
from wavlm.storage.facts import Facts
from wavlm.storage.files import nearest_existing, sync
from wavlm.storage.locks import hold_lock
from wavlm.storage.seals import content_of
from wavlm.storage.sharing import share_with_group
from wavlm.storage.use_locks import hold_in_use, hold_unused, refuse_held

F = TypeVar("F", bound=Facts)


class Store:
    """A folder on a local or shared disk that holds all artifacts of any number of recipes."""

    def __init__(self, root: Path | str) -> None:
        """Raises UsageError (NOT_A_FOLDER) if the root is something else; it need not exist."""
        self.root = Path(root).absolute()
        if not (nearest := nearest_existing(self.root)).is_dir():
            raise UsageError("NOT_A_FOLDER", f"a store is a folder, this is none; at {nearest}; name another --store")
        share_with_group(self.root)
        self.built: set[str] = set()  # keys of what this object has made

    @property
    def downloads(self) -> Path:
        """Verified archives by digest, shared by all corpora."""
        return self.root / "downloads"

    def path(self, artifact: Artifact) -> Path:
        """Where the artifact is, or will be once complete.

        It is found by its key. The readable part of a folder's name may come from another recipe: a model has the
        number of the iteration that it was first made for.
        Raises UsageError (FOLDER_UNKNOWN) if it is made from a folder whose content is not known.
        """
        _check_known(artifact)
        planned = self.root / artifact.folder
        if (planned / RECORD_FILE).is_file():
            return planned
        made = sorted(planned.parent.glob(f"*-{artifact.key}/{RECORD_FILE}"))
        return made[0].parent if made else planned

    def partial_folder(self, artifact: Artifact) -> Path:
        """Where an unfinished attempt is kept, under whatever name it was begun."""
        _check_known(artifact)
        planned = self.root / artifact.kind / f".{artifact.name}-{artifact.key}.partial"
        begun = sorted(planned.parent.glob(f".*-{artifact.key}.partial"))
        return begun[0] if begun and not planned.is_dir() else planned

    def is_complete(self, artifact: Artifact) -> bool:
        """Whether it is there, made from the inputs that are there now. Inputs that were removed do not matter."""
        return artifact.is_known and find_fault(artifact, self.path, {}) is None

    def explain_outdated(self, artifact: Artifact) -> str | None:
        """Why an artifact that is there has to be made again; None if it need not be, or is not there."""
        is_there = artifact.is_known and (self.path(artifact) / RECORD_FILE).is_file()
        return find_fault(artifact, self.path, {}) if is_there else None

    def find_broken(self, artifact: Artifact) -> BadDataError | None:
        """RECORD_BROKEN if it is there and its record or seal is damaged; None if not."""
        folder = self.path(artifact) if artifact.is_known else None
        return find_broken(folder) if folder and (folder / RECORD_FILE).is_file() else None

    def has_all(self, artifacts: Iterable[Artifact]) -> bool:
        """Whether all of them are complete."""
        return all(self.is_complete(artifact) for artifact in artifacts)

    def require(self, artifact: Artifact) -> None:
        """Raise BadDataError (RECORD_BROKEN, INPUT_MISSING), naming artifact and place, unless it is complete.

        Raises LockedError if it is being made.
        """
        if not self.is_complete(artifact):
            self._refuse_broken(artifact)
            refuse_held(self._lock(artifact), str(artifact))
            why = self.explain_outdated(artifact) or "is not complete"
            raise BadDataError(
                "INPUT_MISSING",
                f"{artifact} {why}; at {self.path(artifact)}; run that stage first: wavlm stage {artifact.kind} RECIPE",
            )

    def record(self, artifact: Artifact) -> ArtifactRecord:
        """The sealed record of a complete artifact."""
        self.require(artifact)
        return read_record(self.path(artifact))

    def facts(self, artifact: Artifact, form: type[F]) -> F:
        """What the stage reported when it built this, in the form that its package gives it.

        Raises BadDataError, naming place and field, if the record holds something else.
        """
        self.require(artifact)
        try:
            return form.model_validate(read_field(self.path(artifact), "facts"), strict=False)
        except ValidationError as error:
            raise BadDataError(
                "RECORD_BROKEN",
                f"no {form.__name__} can be read: {error}; at {self.path(artifact) / RECORD_FILE}; make it again",
            ) from error

    def make(
        self,
        artifact: Artifact,
        build: Callable[[Path], Facts],
        progress: Progress = no_progress,
    ) -> Path:
        """Build an artifact unless it is complete; returns its folder.

        `build` gets the partial folder, which may hold an earlier attempt's parts, fills it and
        returns facts. While it runs nobody can move the inputs away, or begin to use what will be replaced. Raises
        BadDataError if an input is missing, or if the artifact is there with a damaged record, which `redo` moves
        away, and LockedError if somebody else is building the same or still uses what would be replaced; a failed
        build keeps its partial folder. Errors of the operating system and of libraries get a code here.
        """
        if self.is_complete(artifact):
            return self.path(artifact)
        self._refuse_broken(artifact)
        with code_errors(self.root), hold_in_use(map(self._use_lock, artifact.needs)):
            for item in artifact.needs:
                self.require(item)
            with hold_lock(self._lock(artifact), str(artifact)):
                if not self.is_complete(artifact):
                    with self._hold_outdated(artifact):
                        self._build(artifact, build, progress)
        return self.path(artifact)

    def redo(self, artifact: Artifact) -> Path | None:
        """Move a complete artifact and its partial to the trash; returns where it lies now.

        Raises LockedError if somebody is making it, or is making something from it.
        """
        moved = None
        with hold_lock(self._lock(artifact), str(artifact)), self._hold_unused(artifact):
            for folder in (self.partial_folder(artifact), self.path(artifact)):
                moved = self._discard(folder, artifact) or moved
        return moved

    def folders(self) -> Iterator[Path]:
        """Folders of all complete artifacts, by kind in pipeline order, then by name."""
        for kind in KINDS:
            yield from complete_in(self.root / kind)

    def siblings(self, artifact: Artifact) -> list[Path]:
        """Folders of the other complete artifacts of its kind, name and format, the newest first."""
        found = [
            folder
            for folder in complete_in(self.root / artifact.kind)
            if folder.name.rpartition("-")[0] == artifact.name
            and folder != self.path(artifact)
            and not find_broken(folder)
            and read_field(folder, "identity").get("format") == artifact.format
        ]
        return sorted(found, key=lambda folder: (folder / RECORD_FILE).stat().st_mtime_ns, reverse=True)

    def explain(self, artifact: Artifact) -> tuple[Path, tuple[Difference, ...]] | None:
        """The nearest complete sibling, one of the same name before others, and what differs; None if there is none."""
        siblings = []
        for folder in complete_in(self.root / artifact.kind):
            if find_broken(folder):
                continue
            differences = tuple(differences_between("", read_field(folder, "identity"), artifact.identity))
            is_other = folder.name.rpartition("-")[0] != artifact.name
            siblings.append((is_other, len(differences), folder, differences))
        if not siblings:
            return None
        *_, folder, differences = min(siblings, key=lambda item: item[:3])
        return folder, differences

    def _refuse_broken(self, artifact: Artifact) -> None:
        """Raise BadDataError (RECORD_BROKEN) rather than make again what may have taken weeks."""
        if error := self.find_broken(artifact):
            raise error

    def _begin(self, partial: Path, artifact: Artifact, inputs: dict[str, str]) -> None:
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
            self._discard(partial, artifact)
        partial.mkdir(parents=True, exist_ok=True)
        write_seal(partial, Seal(content="", inputs=inputs))

    def _discard(self, folder: Path, artifact: Artifact) -> Path | None:
        """Move a folder to the trash; returns where it lies now, None if there was none."""
        if not folder.exists():
            return None
        trash = self.root / "trash" / artifact.kind
        trash.mkdir(parents=True, exist_ok=True)
        moved = trash / f"{artifact.name}-{artifact.key}-{time.time_ns()}"
        folder.rename(moved)
        return moved

    def _lock(self, artifact: Artifact) -> Path:
        return self.root / "locks" / f"{artifact.kind}-{artifact.key}.lock"

    def _use_lock(self, artifact: Artifact) -> Path:
        _check_known(artifact)
        return self.root / "locks" / f"{artifact.kind}-{artifact.key}.use"

    def _hold_unused(self, artifact: Artifact) -> AbstractContextManager[None]:
        return hold_unused(self._use_lock(artifact), str(artifact))

    def _hold_outdated(self, artifact: Artifact) -> AbstractContextManager[None]:
        """Nobody uses the folder that is replaced: held before the work, so that the work is never in vain."""
        return self._hold_unused(artifact) if self.path(artifact).exists() else nullcontext()

    def _build(self, artifact: Artifact, build: Callable[[Path], Facts], progress: Progress) -> None:
        partial, inputs = self.partial_folder(artifact), contents_of_inputs(artifact, self.path)
        self._begin(partial, artifact, inputs)
        started = time.time()
        facts = build(partial)
        files = seal_files(partial, artifact.files, progress)
        record = ArtifactRecord(
            identity=artifact.identity,
            key=artifact.key,
            inputs=tuple(str(self.path(item).relative_to(self.root)) for item in artifact.inputs),
            facts=facts.model_dump(mode="json"),
            files=files,
            versions=library_versions(),
            finished_unix=time.time(),
            seconds=time.time() - started,
        )
        write_seal(partial, Seal(content=content_of(files), inputs=inputs))
        write_record(partial, record)
        sync(partial)
        self._discard(self.path(artifact), artifact)  # one that was made from other inputs
        partial.rename(self.path(artifact))
        self.built.add(artifact.key)
        sync(self.path(artifact).parent)


def complete_in(kind: Path) -> list[Path]:
    """Folders of the complete artifacts of a kind, by name. One under way may hold a record for a moment."""
    return [found.parent for found in sorted(kind.glob(f"[!.]*/{RECORD_FILE}"))]


def _check_known(artifact: Artifact) -> None:
    if not artifact.is_known:
        raise UsageError(
            "FOLDER_UNKNOWN",
            f"{artifact} is made from a folder whose files are new or have changed since they were read, or from a "
            "version of the registry that was not asked for yet; in the store's notes; run `wavlm run RECIPE`, which "
            "does that",
        )
