"""The record that seals an artifact, `artifact.json`: what it is, what its stage reported, and every file's digest.

It carries its own digest (`wavlm.storage.digested`). Beside it lies `seal.json`: one digest of all files, and those of
the artifacts that it was made from. Both are small: where there are more than some files, their digests lie in a ledger
(`wavlm.storage.ledger`), which the record names. So what an artifact is, and whether it still fits its inputs, is
answered at once, also where a corpus has 300,000 files. Earlier versions wrote all files into the record.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from wavlm.storage.digested import write_digested
from wavlm.storage.ledger import LEDGER_FILE, SealedFile, write_ledger
from wavlm.storage.seals import (
    RECORD_FILE,
    SEAL_FILE,
    broken,
    has_digest,
    ledger_of,
    read_fields,
    read_remembered,
    sealed_files,
)

__all__ = [
    "RECORD_FILE",
    "SEAL_FILE",
    "ArtifactRecord",
    "RecordHead",
    "Seal",
    "SealedFile",
    "read_field",
    "read_head",
    "read_record",
    "read_seal",
    "read_size",
    "write_record",
    "write_seal",
]

MOST_LISTED = 100  # files that a record lists itself: more would make it large


class RecordHead(BaseModel):
    """What is known of a complete artifact without its files."""

    model_config = ConfigDict(frozen=True)

    identity: dict[str, JsonValue]  # what the key digests, spelled out
    key: str
    inputs: tuple[str, ...]  # folders of the artifacts that it was made from
    facts: dict[str, JsonValue]  # what its stage reported; `Store.facts` gives it a type
    versions: dict[str, str | None]  # of libraries that can change an artifact's bytes, and of this code
    finished_unix: float
    seconds: float  # of the attempt that finished it


class ArtifactRecord(RecordHead):
    """What is known of a complete artifact. The record is written last: where it exists, the folder is whole."""

    files: dict[str, SealedFile]  # by path relative to the folder


class Seal(BaseModel):
    """What an artifact holds, and what it was made from."""

    model_config = ConfigDict(frozen=True)

    content: str  # sha256 of the names and digests of all files; empty while the artifact is under way
    inputs: dict[str, str]  # the `content` of each input, by its key


def write_seal(folder: Path, seal: Seal) -> None:
    """Write the seal of a folder."""
    write_digested(folder / SEAL_FILE, seal.model_dump(mode="json"))


def read_seal(folder: Path) -> Seal | None:
    """The seal of a folder; None if the folder is empty, or complete and so old that it was given none.

    Raises BadDataError (RECORD_BROKEN) if it is broken, or lost: each record with a digest was written beside a seal.
    """
    path = folder / SEAL_FILE
    try:
        found = read_remembered(path)
        if not found.has_digest and set(found.content) != set(Seal.model_fields):
            raise broken(path, f"it has no digest, and the fields {', '.join(sorted(found.content))}")
        return Seal.model_validate(found.content)
    except FileNotFoundError as error:
        if (folder / RECORD_FILE).is_file() and has_digest(folder):
            raise broken(path, "the file is missing") from error
        return None
    except (OSError, ValueError) as error:  # a ValidationError is a ValueError
        raise broken(path, error) from error


def write_record(folder: Path, record: ArtifactRecord) -> None:
    """Seal a folder: the ledger first, if it has many files, and the record last."""
    content = record.model_dump(mode="json")
    if len(record.files) > MOST_LISTED:
        del content["files"]
        content["ledger"] = asdict(write_ledger(folder, record.files))
    else:
        (folder / LEDGER_FILE).unlink(missing_ok=True)  # of an attempt that was killed
    write_digested(folder / RECORD_FILE, content)


def read_record(folder: Path) -> ArtifactRecord:
    """The record of a complete artifact's folder; raises BadDataError, naming file and field, if it is broken."""
    try:
        return ArtifactRecord.model_validate({**read_fields(folder), "files": sealed_files(folder)}, strict=False)
    except ValidationError as error:
        raise broken(folder / RECORD_FILE, error) from error


def read_head(folder: Path) -> RecordHead:
    """The same without the files, which takes no time. Raises as `read_record`."""
    try:
        return RecordHead.model_validate(read_fields(folder), strict=False)
    except ValidationError as error:
        raise broken(folder / RECORD_FILE, error) from error


def read_size(folder: Path) -> tuple[int, int]:
    """How many files a complete artifact was sealed with, and their bytes. Raises as `read_record`."""
    if ledger := ledger_of(read_fields(folder), folder):
        return ledger.files, ledger.bytes
    files = sealed_files(folder)
    return len(files), sum(file.bytes for file in files.values())


def read_field(folder: Path, name: Literal["identity", "facts"]) -> dict[str, JsonValue]:
    """One field of a record. It is shared: nobody may change it."""
    value = read_fields(folder).get(name)
    if not isinstance(value, dict):
        raise broken(folder / RECORD_FILE, f"found {type(value).__name__} as {name}, expected an object")
    return value
