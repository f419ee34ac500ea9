"""Fetch an artifact: it appears in the store when all that was wanted of it is there, and is what its record says."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from wavlm.corpus.download.pin import require_room
from wavlm.errors import BadDataError
from wavlm.errors.boundary import code_errors
from wavlm.execution.progress import Progress, no_progress
from wavlm.pipeline.mirror.bulk import is_bulk
from wavlm.pipeline.mirror.contents import fetch_record
from wavlm.pipeline.mirror.entry import MirrorEntry, differs, read_left_out
from wavlm.pipeline.mirror.places import Place
from wavlm.pipeline.mirror.transfer import transfer_all
from wavlm.pipeline.record import ArtifactRecord, read_seal
from wavlm.pipeline.sealing import list_files
from wavlm.pipeline.siblings import complete_in
from wavlm.storage.cache import object_key
from wavlm.storage.drops import keep_again, read_dropped, write_dropped
from wavlm.storage.elsewhere import Elsewhere, read_elsewhere, write_elsewhere
from wavlm.storage.files import sha256_of, sync
from wavlm.storage.ledger import SealedFile
from wavlm.storage.links import take_over
from wavlm.storage.locks import hold_lock
from wavlm.storage.mirror.mirror import Mirror
from wavlm.storage.seals import DROPPED_FILE, PIECES_FILE, UNSEALED, sealed_files

IsWanted = Callable[[str], bool]  # of a file, by its name relative to the folder


def fetch(
    entry: MirrorEntry,
    mirror: Mirror,
    root: Path,
    elsewhere: Elsewhere,
    progress: Progress = no_progress,
    *,
    is_light: bool = False,
) -> Path:
    """Fetch an artifact into the store in `root`; returns its folder. `is_light`: without its large files.

    One that is there gets the files that it lacks. Raises BadDataError (MIRROR_DAMAGED, MIRROR_DIFFERS, MIRROR_LACKS),
    CannotWriteError (DISK_FULL), LockedError if it is being made, and what `Mirror` raises.
    """
    place = Place(root, entry.kind, entry.name, entry.key)
    if folder := place.find():
        seal = read_seal(folder)
        if seal is None or seal.content != entry.content:
            raise differs(mirror, entry, seal.content if seal else "")
        if not is_light:
            fill(folder, mirror, progress)
        return folder
    with code_errors(root), hold_lock(place.lock, str(place)):
        if (folder := place.find()) is None:
            folder = _fetch_new(entry, mirror, place, elsewhere, progress, is_light=is_light)
    return folder


def fill(folder: Path, mirror: Mirror, progress: Progress = no_progress, is_wanted: IsWanted = bool) -> None:
    """Fetch the files that a fetched artifact lacks, and the mirror has. Raises as `fetch`."""
    place, elsewhere = Place.of(folder), read_elsewhere(folder)
    if elsewhere is None:
        return
    with code_errors(folder), hold_lock(place.lock, str(place)):
        missing = read_dropped(folder).difference(elsewhere.left_out)
        names = sorted(name for name in missing if is_wanted(name))
        sealed = sealed_files(folder)
        _fetch_files(folder, {name: sealed[name] for name in names}, mirror, place, progress)
        if names:
            sync(folder)
            keep_again(folder, names, time.time())


def _fetch_new(
    entry: MirrorEntry, mirror: Mirror, place: Place, elsewhere: Elsewhere, progress: Progress, *, is_light: bool
) -> Path:
    begun = place.begun
    begun.mkdir(parents=True, exist_ok=True)
    for leftover in begun.rglob(".*.partial"):
        leftover.unlink()
    if file := entry.pieces:
        mirror.fetch(object_key(file.sha256), begun / PIECES_FILE, file.sha256, file.bytes)
    record, left_out = _fetch_record(begun, entry, mirror), read_left_out(mirror, entry)
    here = {name for name in record.files if name not in left_out and not (is_light and is_bulk(place.kind, name))}
    for stray in (DROPPED_FILE, *set(list_files(begun)).difference(here)):  # of an attempt that wanted other files
        (begun / stray).unlink(missing_ok=True)
    _fetch_files(begun, {name: record.files[name] for name in sorted(here)}, mirror, place, progress)
    if missing := record.files.keys() - here:
        write_dropped(begun, missing, time.time())
    write_elsewhere(begun, elsewhere.model_copy(update={"left_out": tuple(sorted(left_out))}))
    sync(begun)
    place.folder.parent.mkdir(parents=True, exist_ok=True)
    begun.rename(place.folder)
    sync(place.folder.parent)
    return place.folder


def _fetch_record(begun: Path, entry: MirrorEntry, mirror: Mirror) -> ArtifactRecord:
    """The record, which has to be that of the entry, and of names that stay in the folder."""
    record = fetch_record(entry, mirror, begun)
    for name in record.files:
        if not _is_inside(name):
            shutil.rmtree(begun)
            raise BadDataError(
                "PATH_ESCAPE",
                f"a file of {entry} is named {name!r}; at {mirror.address}; do not use this mirror",
            )
    return record


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and str(path) == name and name not in UNSEALED


def _fetch_files(
    folder: Path, files: Mapping[str, SealedFile], mirror: Mirror, place: Place, progress: Progress
) -> None:
    """Fetch files into a folder; those of an earlier attempt, and of other generations, are not fetched again."""
    here = _find_here(place)
    for parent in {(folder / name).parent for name in files}:
        parent.mkdir(parents=True, exist_ok=True)

    def bring(item: tuple[str, SealedFile]) -> int:
        name, file = item
        path = folder / name
        if _is_whole(path, file):
            return file.bytes
        if file in here:
            with suppress(OSError):  # somebody deletes it
                take_over(here[file], path)
                if _is_whole(path, file):
                    return file.bytes
                path.unlink()
        mirror.fetch(object_key(file.sha256), path, file.sha256, file.bytes)
        return file.bytes

    total = sum(file.bytes for file in files.values())
    present = sum((folder / name).stat().st_size for name in files if (folder / name).is_file())
    require_room(folder, total - present)
    transfer_all(bring, files.items(), total, progress)


def _is_whole(path: Path, file: SealedFile) -> bool:
    return path.is_file() and path.stat().st_size == file.bytes and sha256_of(path) == file.sha256


def _find_here(place: Place) -> dict[SealedFile, Path]:
    """Files of other complete artifacts of the same kind and name, which may be the same."""
    found: dict[SealedFile, Path] = {}
    siblings: Iterable[Path] = complete_in(place.root / place.kind)
    for folder in siblings:
        if folder.name.rpartition("-")[0] == place.name and folder != place.folder:
            with suppress(BadDataError):
                found |= {file: folder / name for name, file in sealed_files(folder).items()}
    return found
