"""Sealed folders: each file of an artifact is compared with the record that sealed it, before it is used.

`artifact.json` names the sha256 of every file, and carries its own digest. Readers of file formats call `check_sealed`
before they open a file, so that damage ends in an error and never in a result. A folder without a record is under way,
or is no artifact: nothing is compared there.

What was compared is remembered by this process for as long as device, inode, size and times of the file stay: one
stage, or one run, hashes a file once. Nothing is remembered on disk, because a disk that decays changes no time.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from wavlm.errors import BadDataError
from wavlm.storage.digested import Digested, check_digest, read_digested
from wavlm.storage.files import sha256_of

RECORD_FILE, SEAL_FILE, DROPPED_FILE = "artifact.json", "seal.json", "dropped.json"
PLACES_FILE = "places.parquet"  # where the bytes of files lie that are not in the folder
UNSEALED = (RECORD_FILE, SEAL_FILE, DROPPED_FILE, PLACES_FILE)  # about the folder, and not of it
# Fields of records that carry no digest. A record with others was changed: perhaps the name of its digest.
OLD_FIELDS = frozenset({"identity", "key", "inputs", "facts", "files", "versions", "finished_unix", "seconds"})
DEPTH = 2  # folders between the record and a file: snapshots/step-000001000/model.safetensors
# File systems count time in ticks of up to 10 ms: a file that was just written may change again in the same tick.
SETTLED_NS = 100_000_000
MOST_REMEMBERED = 1 << 16

T = TypeVar("T")


class FileState(NamedTuple):
    """What tells that a file is still the one that was read."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path) -> FileState:
        found = path.stat()
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    @property
    def is_settled(self) -> bool:
        """Whether a later change would show."""
        return time.time_ns() - max(self.mtime_ns, self.ctime_ns) > SETTLED_NS


@dataclass(frozen=True)
class SealedFile:
    """One file as it was when the artifact was sealed."""

    sha256: str
    bytes: int


class _Memory(Generic[T]):
    """What was found out about files by this process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[FileState, T] = {}

    def clear(self) -> None:
        self._known.clear()

    def find(self, state: FileState) -> T | None:
        return self._known.get(state)

    def keep(self, state: FileState, value: T) -> T:
        if state.is_settled:
            if len(self._known) >= self._most:
                self.clear()
            self._known[state] = value
        return value


_digests: _Memory[str] = _Memory(MOST_REMEMBERED)
_whole_records: _Memory[bool] = _Memory(MOST_REMEMBERED)
_sealed_files: _Memory[Mapping[str, SealedFile]] = _Memory(256)


def forget() -> None:
    """Forget what this process has compared, as if it had just begun."""
    for memory in (_digests, _whole_records, _sealed_files):
        memory.clear()


def check_sealed(path: Path) -> None:
    """Raise BadDataError (CHECKSUM) unless a file is the one that its folder's record seals, or neither is there.

    Raises BadDataError (RECORD_BROKEN) if the record itself is damaged.
    """
    folder = find_sealed_folder(path)
    if folder is None:
        return
    sealed = sealed_files(folder).get(path.relative_to(folder).as_posix())
    if sealed is None and not path.exists():
        return  # the stage made none: the reader says what that means
    if sealed is None:
        raise _not_sealed(path, "a file that was never sealed", "none of this name")
    try:
        found = sha256_as_it_is(path)
    except FileNotFoundError as error:
        raise _not_sealed(path, "no file", f"one with sha256 {sealed.sha256}") from error
    if found != sealed.sha256:
        raise _not_sealed(path, f"sha256 {found}", sealed.sha256)


def find_sealed_folder(path: Path) -> Path | None:
    """The folder whose record seals a file: the file's own or one of two above it; None if there is none.

    Above it the record has to be one of ours, or a seal has to lie beside it: other programs may call a file
    `artifact.json`.
    """
    if (path.parent / RECORD_FILE).is_file():
        return path.parent
    above = (folder for folder in path.parents[1 : 1 + DEPTH] if (folder / RECORD_FILE).is_file())
    return next((folder for folder in above if (folder / SEAL_FILE).is_file() or _is_ours(folder)), None)


def sealed_files(folder: Path) -> Mapping[str, SealedFile]:
    """The files of a sealed folder as they were, by relative path; none if it has no record.

    Raises BadDataError (RECORD_BROKEN).
    """
    try:
        state = FileState.of(folder / RECORD_FILE)
    except FileNotFoundError:
        return {}
    if (known := _sealed_files.find(state)) is not None:
        return known
    return _sealed_files.keep(state, _files_in(read_fields(folder), folder))


def sha256_as_it_is(path: Path) -> str:
    """The sha256 of a file, which this process computes once for as long as the file stays as it is."""
    state = FileState.of(path)
    if (known := _digests.find(state)) is not None:
        return known
    found = sha256_of(path)
    return _digests.keep(state, found) if FileState.of(path) == state else found


def require_record(folder: Path) -> None:
    """Raise BadDataError (RECORD_BROKEN) if a folder's record was changed. Of 300,000 files it takes 0.1 s, once."""
    path = folder / RECORD_FILE
    try:
        state = FileState.of(path)
        if _whole_records.find(state):
            return
        if not check_digest(path.read_bytes()):
            read_fields(folder)
    except (OSError, ValueError) as error:
        raise broken(path, error) from error
    _whole_records.keep(state, value=True)


def read_fields(folder: Path) -> dict[str, Any]:
    """The content of a folder's record, as it was written. Raises BadDataError (RECORD_BROKEN).

    A record of a version that gave it no digest is taken if it has the fields of that version, and if its list of files
    is the one that the seal beside it digests.
    """
    path = folder / RECORD_FILE
    try:
        found = read_digested(path)
        if not found.has_digest:
            _check_old(found, folder)
    except (OSError, ValueError) as error:
        raise broken(path, error) from error
    return found.content


def has_digest(folder: Path) -> bool:
    """Whether the record of a folder carries a digest. Records of earlier versions do not."""
    with (folder / RECORD_FILE).open("rb") as file:
        return file.read(13).startswith(b'{\n  "digest"')


def content_of(files: Mapping[str, SealedFile]) -> str:
    """The digest of an artifact's content: sha256 over the names and digests of its files."""
    whole = hashlib.sha256()
    for name in sorted(files):
        whole.update(json.dumps([name, files[name].sha256]).encode())
    return whole.hexdigest()


def broken(path: Path, error: Exception | str) -> BadDataError:
    """The error for a record or a seal that cannot be trusted."""
    what = " ".join(str(error).split())
    return BadDataError(
        "RECORD_BROKEN",
        f"{path.name} cannot be used: {what}; at {path}; restore it from a backup, or make the artifact again: "
        f"wavlm stage {_kind(path)} RECIPE --redo",
    )


def _is_ours(folder: Path) -> bool:
    """Whether a file of the record's name is a record, of this version or of an earlier one."""
    if has_digest(folder):
        return True
    try:
        return set(read_digested(folder / RECORD_FILE).content) == OLD_FIELDS
    except (OSError, ValueError):
        return False


def _check_old(found: Digested, folder: Path) -> None:
    """Raise ValueError if a record without a digest was changed, as far as that can be seen."""
    if set(found.content) != OLD_FIELDS:
        raise ValueError(f"it has no digest, and the fields {', '.join(sorted(found.content))}")
    seal = folder / SEAL_FILE
    sealed = read_digested(seal).content.get("content") if seal.is_file() else None
    if sealed is not None and sealed != content_of(_files_in(found.content, folder)):
        raise ValueError(f"its list of files is not the one that {SEAL_FILE} digests")


def _files_in(fields: Mapping[str, Any], folder: Path) -> dict[str, SealedFile]:
    try:
        return {name: SealedFile(str(file["sha256"]), int(file["bytes"])) for name, file in fields["files"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise broken(folder / RECORD_FILE, repr(error)) from error


def _not_sealed(path: Path, found: str, expected: str) -> BadDataError:
    return BadDataError(
        "CHECKSUM",
        f"found {found}, expected {expected}, as it was sealed; at {path}; make it again: "
        f"wavlm stage {_kind(path)} RECIPE --redo",
    )


def _kind(path: Path) -> str:
    """The stage that makes a file: in a store, the folder above that of the artifact."""
    folder = find_sealed_folder(path)
    return folder.parent.name or "KIND" if folder else "KIND"
