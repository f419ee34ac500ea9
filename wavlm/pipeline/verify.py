"""Verify complete artifacts: every file, the record and the seal against what was sealed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from wavlm.errors import BadDataError
from wavlm.execution.progress import Progress, no_progress
from wavlm.pipeline.record import RECORD_FILE, SEAL_FILE, read_record, read_seal
from wavlm.pipeline.sealing import hash_files, list_files
from wavlm.specs.identity import key_of
from wavlm.storage.drops import read_dropped
from wavlm.storage.files import sha256_of
from wavlm.storage.seals import DROPPED_FILE, content_of

NOTE_UNDER_WAY = f".{DROPPED_FILE}.*.partial"  # by house-keeping, which works beside this, or was killed


@dataclass(frozen=True)
class Damage:
    """A file of a complete artifact that is not what was sealed."""

    path: Path
    found: str
    expected: str


def verify(folder: Path, progress: Progress = no_progress) -> list[Damage]:
    """Re-hash every file of a complete artifact's folder, its record too; returns what differs.

    Files that house-keeping deleted on purpose (`wavlm.storage.drops`) are no damage. A folder that somebody else
    replaces meanwhile is verified again; of one that is moved away there is nothing to say.
    """
    while (before := _identity(folder)) is not None:
        try:
            damaged = _verify(folder, progress)
        except (FileNotFoundError, BadDataError) as error:
            if _identity(folder) == before and not _was_dropped(folder, error):
                raise
            continue
        if not damaged or _identity(folder) == before:
            return damaged
    return []


def _identity(folder: Path) -> tuple[tuple[int, int, int], ...] | None:
    """What tells a folder from one that takes its place, or of which more was dropped; None if there is none."""
    found = []
    for path in (folder, folder / RECORD_FILE, folder / DROPPED_FILE):
        with suppress(FileNotFoundError):
            state = path.stat()
            found.append((state.st_dev, state.st_ino, 0 if path == folder else state.st_mtime_ns))
    return tuple(found) or None


def _was_dropped(folder: Path, error: FileNotFoundError | BadDataError) -> bool:
    """Whether a file is gone because house-keeping has just deleted it."""
    name = error.filename if isinstance(error, FileNotFoundError) else None
    return name is not None and Path(name).relative_to(folder).as_posix() in read_dropped(folder)


def _verify(folder: Path, progress: Progress) -> list[Damage]:
    for name, read in ((RECORD_FILE, read_record), (SEAL_FILE, read_seal), (DROPPED_FILE, read_dropped)):
        try:
            read(folder)
        except BadDataError as error:
            return [Damage(folder / name, str(error), "what was sealed")]
    record, seal, dropped = read_record(folder), read_seal(folder), read_dropped(folder)
    sealed = {name: file.sha256 for name, file in record.files.items()}
    missing = [name for name in sealed if not (folder / name).is_file()]
    damaged = [Damage(folder / name, "missing", sealed[name]) for name in missing if name not in dropped]
    present = [name for name in sealed if name not in missing]
    for name, digest in hash_files(folder, present, progress, sha256_of):
        if digest != sealed[name]:
            damaged.append(Damage(folder / name, digest, sealed[name]))
    damaged += [
        Damage(folder / name, "a file that was never sealed", "absent")
        for name in sorted(set(list_files(folder)) - set(sealed))
        if not fnmatchcase(name, NOTE_UNDER_WAY)
    ]
    if seal is not None and seal.content != (content := content_of(record.files)):
        damaged.append(Damage(folder / SEAL_FILE, seal.content, content))
    if (found := key_of(record.identity)) != record.key:
        damaged.append(Damage(folder / RECORD_FILE, f"an identity of the key {found}", record.key))
    return damaged
