"""The store: a directory tree in which an artifact is complete or absent.

    <store>/<kind>/<name>-<key>/            complete: holds artifact.json, written last
    <store>/<kind>/.<name>-<key>.partial/   under way; the next attempt continues in it
    <store>/trash/, downloads/, locks/, folders/, features/, evaluations/

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
from wavlm.execution.share import ShareMade
from wavlm.pipeline.artifacts import KINDS, Artifact
from wavlm.pipeline.begun import begin, discard
from wavlm.pipeline.differences import Difference
from wavlm.pipeline.fit import contents_of_inputs, find_broken, find_fault
from wavlm.pipeline.record import (
    RECORD_FILE,
    ArtifactRecord,
    RecordHead,
    Seal,
    read_field,
    read_head,
    read_record,
    write_record,
    write_seal,
)
from wavlm.pipeline.sealing import library_versions, seal_files
from wavlm.pipeline.siblings import complete_in, find_nearest, find_siblings
from wavlm.storage.disk_watch import watch_disk
from wavlm.storage.facts import Facts
from wavlm.storage.files import nearest_existing, sync
from wavlm.storage.holders import find_owner, note_of
from wavlm.storage.known import forget_known
from wavlm.storage.leases import Lease
from wavlm.storage.locks import hold_lock, hold_share, require_held
from wavlm.storage.seals import content_of
from wavlm.storage.sharing import share_with_group
from wavlm.storage.use_locks import hold_in_use, hold_unused, refuse_held

FEATURES = "features"  # a cache of evaluations: nothing in it is missed

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

    def find_maker(self, artifact: Artifact) -> str | None:
        """The process that makes an artifact at this moment, as text; None if nobody does. Takes no lock."""
        return find_owner(self._lock(artifact))

    def record(self, artifact: Artifact) -> ArtifactRecord:
        """The sealed record of a complete artifact."""
        self.require(artifact)
        return read_record(self.path(artifact))

    def head(self, artifact: Artifact) -> RecordHead:
        """The same without its files, of which a corpus has many."""
        self.require(artifact)
        return read_head(self.path(artifact))

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
        lock = self._lock(artifact)
        with code_errors(self.root), watch_disk(note_of(lock)), hold_in_use(map(self._use_lock, artifact.needs)):
            for item in artifact.needs:
                self.require(item)
            with hold_lock(lock, str(artifact)) as lease:
                if not self.is_complete(artifact):
                    with self._hold_outdated(artifact):
                        self._build(artifact, build, progress, lease)
        return self.path(artifact)

    def make_share(self, artifact: Artifact, build: Callable[[Path], Facts]) -> ShareMade | None:
        """Let `build` make a share of the parts (`wavlm.execution.share`), beside others; None if it is complete.

        `make` finds these parts, makes what is left, and seals. Raises what `make` raises, and UsageError (NO_PARTS).
        """
        if self.is_complete(artifact):
            return None
        self._refuse_broken(artifact)
        lock = self._lock(artifact)
        with code_errors(self.root), watch_disk(note_of(lock)), hold_in_use(map(self._use_lock, artifact.needs)):
            for item in artifact.needs:
                self.require(item)
            with hold_share(lock, str(artifact)):
                if self.is_complete(artifact):
                    return None
                partial = self.partial_folder(artifact)
                with hold_lock(lock.with_suffix(".begin"), f"the folder of {artifact}"):
                    begin(partial, contents_of_inputs(artifact, self.path), self._trash(artifact))
                try:
                    build(partial)
                except ShareMade as made:
                    return made
        raise UsageError(
            "NO_PARTS",
            f"nothing of {artifact} can be shared: its stage has no parts, or they are few; in this recipe; make it at "
            f"once: wavlm stage {artifact.kind} RECIPE",
        )

    def redo(self, artifact: Artifact) -> Path | None:
        """Move a complete artifact and its partial to the trash; returns where it lies now.

        Raises LockedError if somebody is making it, or is making something from it.
        """
        moved = None
        with hold_lock(self._lock(artifact), str(artifact)), self._hold_unused(artifact):
            for folder in (self.partial_folder(artifact), self.path(artifact)):
                moved = discard(folder, self._trash(artifact)) or moved
        return moved

    def folders(self) -> Iterator[Path]:
        """Folders of all complete artifacts, by kind in pipeline order, then by name."""
        for kind in KINDS:
            yield from complete_in(self.root / kind)

    def siblings(self, artifact: Artifact) -> list[Path]:
        """Folders of the other complete artifacts of its kind, name and format, the newest first."""
        return find_siblings(artifact, self.root / artifact.kind, self.path(artifact))

    def explain(self, artifact: Artifact) -> tuple[Path, tuple[Difference, ...]] | None:
        """The nearest complete sibling, one of the same name before others, and what differs; None if there is none."""
        return find_nearest(artifact, self.root / artifact.kind)

    def _refuse_broken(self, artifact: Artifact) -> None:
        """Raise BadDataError (RECORD_BROKEN) rather than make again what may have taken weeks."""
        if error := self.find_broken(artifact):
            raise error

    def _trash(self, artifact: Artifact) -> Path:
        """Where a folder of an artifact goes, but for the time that ends its name."""
        return self.root / "trash" / artifact.kind / f"{artifact.name}-{artifact.key}"

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

    def _build(self, artifact: Artifact, build: Callable[[Path], Facts], progress: Progress, lease: Lease) -> None:
        partial, inputs = self.partial_folder(artifact), contents_of_inputs(artifact, self.path)
        begin(partial, inputs, self._trash(artifact))
        forget_known(partial)  # of an earlier attempt: this one notes what it writes
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
        require_held(lease, str(artifact))
        write_seal(partial, Seal(content=content_of(files), inputs=inputs))
        write_record(partial, record)
        sync(partial)
        discard(self.path(artifact), self._trash(artifact))  # one that was made from other inputs
        partial.rename(self.path(artifact))
        self.built.add(artifact.key)
        sync(self.path(artifact).parent)


def _check_known(artifact: Artifact) -> None:
    if not artifact.is_known:
        raise UsageError(
            "FOLDER_UNKNOWN",
            f"{artifact} is made from a folder whose files are new or have changed since they were read, from archives "
            "that have no digest before their first download, or from a version of the registry that was not asked for "
            "yet; in the store's notes; run `wavlm run RECIPE`, which does that",
        )
