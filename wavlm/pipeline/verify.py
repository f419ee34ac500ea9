"""Verify complete artifacts: every file, the record and the seal against what was sealed."""

from __future__ import annotations

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
        except (FileNotFoundError, BadDataError):
            if _identity(folder) == before:
                raise
            continue
        if not damaged or _identity(folder) == before:
            return damaged
    return []


def _identity(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from one that takes its place; None if there is none."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


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
