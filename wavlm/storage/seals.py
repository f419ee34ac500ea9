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
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from wavlm.errors import BadDataError
from wavlm.storage.digested import Digested, check_digest, read_digested
from wavlm.storage.files import sha256_of
from wavlm.storage.ledger import LEDGER_FILE, LedgerNote, SealedFile, read_ledger
from wavlm.storage.passing import refuse_passing

RECORD_FILE, SEAL_FILE, DROPPED_FILE = "artifact.json", "seal.json", "dropped.json"
MIRROR_FILE = "mirror.json"  # where the files that are not here can be had
PIECES_FILE = "mirror.pieces"  # digests of parts of them
PLACES_FILE = "places.parquet"  # where in an archive the bytes of files lie that are not in the folder
BACKEND_FILE = "diarization.safetensors"  # of `wavlm diarize-fit`, which tunes a system that is sealed
# About the folder, and not of it.
UNSEALED = (RECORD_FILE, LEDGER_FILE, SEAL_FILE, DROPPED_FILE, MIRROR_FILE, PIECES_FILE, PLACES_FILE, BACKEND_FILE)
# Fields of records that carry no digest. A record with others was changed: perhaps the name of its digest.
OLD_FIELDS = frozenset({"identity", "key", "inputs", "facts", "files", "versions", "finished_unix", "seconds"})
DEPTH = 2  # folders between the record and a file: snapshots/step-000001000/model.safetensors
# File systems count time in ticks of up to 10 ms: a file that was just written may change again in the same tick.
SETTLED_NS = 100_000_000
MOST_REMEMBERED = 1 << 16
SMALL_BYTES = 1 << 17  # of a record or a seal that is kept in memory

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
_small_files: _Memory[Digested] = _Memory(1 << 14)  # records and seals; a store has some thousands


def forget() -> None:
    """Forget what this process has compared, as if it had just begun."""
    for memory in (_digests, _whole_records, _sealed_files, _small_files):
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


def sha256_as_sealed(path: Path) -> str:
    """The sha256 of a file as its record says, which reads nothing of it; without a record that of its bytes.

    To name what is made from the file. Who reads it calls `check_sealed`.
    """
    folder = find_sealed_folder(path)
    sealed = sealed_files(folder).get(path.relative_to(folder).as_posix()) if folder else None
    return sealed.sha256 if sealed else sha256_as_it_is(path)


def let_settle() -> None:
    """Wait until no file that is there now is too young to be remembered: then it is hashed once and not twice."""
    time.sleep(SETTLED_NS / 1e9)


def require_record(folder: Path) -> None:
    """Raise BadDataError (RECORD_BROKEN) if a folder's record was changed, or its ledger is gone.

    What the ledger holds is compared when a file of the folder is.
    """
    path = folder / RECORD_FILE
    try:
        state = FileState.of(path)
        if _whole_records.find(state):
            return
        if not check_digest(path.read_bytes()):
            read_fields(folder)
    except (OSError, ValueError) as error:
        raise broken(path, error) from error
    # A large record is one of an earlier version, which had no ledger: it takes half a second to parse.
    is_small = state.size <= SMALL_BYTES
    if is_small and ledger_of(read_fields(folder), folder) and not (folder / LEDGER_FILE).is_file():
        raise broken(folder / LEDGER_FILE, "the file is missing")
    _whole_records.keep(state, value=True)


def read_fields(folder: Path) -> dict[str, Any]:
    """The content of a folder's record, as it was written. Raises BadDataError (RECORD_BROKEN).

    A record of a version that gave it no digest is taken if it has the fields of that version, and if its list of files
    is the one that the seal beside it digests.
    """
    path = folder / RECORD_FILE
    try:
        found = read_remembered(path)
        if not found.has_digest:
            _check_old(found, folder)
    except (OSError, ValueError) as error:
        raise broken(path, error) from error
    return found.content


def read_remembered(path: Path) -> Digested:
    """Like `read_digested`, which this process does once for a small file as long as that stays as it is.

    The content is shared: nobody may change it.
    """
    state = FileState.of(path)
    if (known := _small_files.find(state)) is not None:
        return known
    found = read_digested(path)
    return _small_files.keep(state, found) if state.size <= SMALL_BYTES else found


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
    """The error for a record or a seal that cannot be trusted. Raises ReadLostError if it could not be read now."""
    if isinstance(error, Exception):
        refuse_passing(error, path)
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
    """The files of a record: those in it, or those of the ledger that it names."""
    if ledger := ledger_of(fields, folder):
        try:
            return read_ledger(folder, ledger)
        except (OSError, ValueError) as error:
            raise broken(folder / LEDGER_FILE, error) from error
    try:
        return {name: SealedFile(str(file["sha256"]), int(file["bytes"])) for name, file in fields["files"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise broken(folder / RECORD_FILE, repr(error)) from error


def ledger_of(fields: Mapping[str, Any], folder: Path) -> LedgerNote | None:
    """The ledger that a record names; None if its files are in the record. Raises BadDataError (RECORD_BROKEN)."""
    if "ledger" not in fields:
        return None
    try:
        return LedgerNote(**fields["ledger"])
    except TypeError as error:
        raise broken(folder / RECORD_FILE, error) from error


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
