"""The entry of an artifact in a mirror: a small object that names its record, its seal and what was left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from wavlm.errors import BadDataError
from wavlm.pipeline.artifacts import KINDS
from wavlm.storage.cache import object_key
from wavlm.storage.digested import parse_digested, to_digested
from wavlm.storage.facts import Facts
from wavlm.storage.ledger import SealedFile
from wavlm.storage.mirror.mirror import Mirror

LIST_BYTES = 1 << 28  # of the names that were left out: four million of them
ENTRIES = "artifacts"
_ORDER = {str(kind): number for number, kind in enumerate(KINDS)}
_KEY = re.compile(r"[0-9a-f]{12}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=@+-]{0,200}")


class MirrorEntry(Facts):
    """What a mirror says of an artifact. Both sealed files and all others are objects."""

    kind: str
    name: str  # the readable part of its folder's name
    key: str
    content: str  # of its seal
    inputs: dict[str, str]  # of its seal
    record: SealedFile
    seal: SealedFile
    ledger: SealedFile | None = None  # of an artifact of many files
    pieces: SealedFile | None = None  # digests of parts of its tars
    left_out: SealedFile | None = None  # a list of files that are not in the mirror
    num_bytes: int  # of all files that are there
    pushed_unix: float

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}-{self.key}"


def entry_key(kind: str, key: str) -> str:
    """The object's key."""
    return f"{ENTRIES}/{kind}/{key}.json"


def write_entry(mirror: Mirror, entry: MirrorEntry, *, replace: bool) -> bool:
    """Write an entry; without `replace`, unless there is one. Whether it is the one that is there afterwards."""
    key, blob = entry_key(entry.kind, entry.key), to_digested(entry.model_dump(mode="json")).encode()
    if replace:
        mirror.replace(key, blob)
    else:
        mirror.create(key, blob)
    return mirror.read(key) == blob  # the store may have ignored the condition, and others may have written, too


def read_entry(mirror: Mirror, kind: str, key: str) -> MirrorEntry | None:
    """The entry of an artifact; None if the mirror has none. Raises BadDataError (MIRROR_DAMAGED)."""
    blob = mirror.read(entry_key(kind, key))
    if blob is None:
        return None
    try:
        found = parse_digested(blob)
        entry = MirrorEntry.model_validate(found.content, strict=False)
    except ValueError as error:  # a ValidationError is one
        raise damaged(mirror, entry_key(kind, key), error) from error
    if not found.has_digest or (entry.kind, entry.key) != (kind, key) or not _NAME.fullmatch(entry.name):
        raise damaged(mirror, entry_key(kind, key), "it has no digest, or is the entry of something else")
    return entry


def list_entries(mirror: Mirror, of_kind: str | None = None) -> Iterator[MirrorEntry]:
    """All entries, or those of one kind, by kind in pipeline order."""
    for kind, key in list_keys(mirror):
        if of_kind in (None, kind) and (entry := read_entry(mirror, kind, key)):
            yield entry


def list_keys(mirror: Mirror) -> list[tuple[str, str]]:
    """Kind and key of all artifacts that have an entry, by kind in pipeline order."""
    return list(date_keys(mirror.list_dated(ENTRIES)))


def date_keys(listed: Iterable[tuple[str, int, float]]) -> dict[tuple[str, str], float]:
    """The same of a listing of `ENTRIES`, and when the store says that each entry was written."""
    found: list[tuple[int, str, float]] = []
    for text, _, written in listed:
        name = PurePosixPath(text)
        if name.parent.name in KINDS and name.suffix == ".json" and _KEY.fullmatch(name.stem):
            found.append((_ORDER[name.parent.name], name.stem, written))
    return {(KINDS[number], key): written for number, key, written in sorted(found)}


def read_left_out(mirror: Mirror, entry: MirrorEntry) -> frozenset[str]:
    """Names of the files of an artifact that are not in the mirror."""
    if entry.left_out is None:
        return frozenset()
    key = object_key(entry.left_out.sha256)
    blob = mirror.read(key, LIST_BYTES)
    try:
        names = json.loads(blob or b"")
        return frozenset(map(str, names))
    except (ValueError, TypeError) as error:
        raise damaged(mirror, key, error) from error


def damaged(mirror: Mirror, key: str, error: Exception | str) -> BadDataError:
    """The error for an object that cannot be what was pushed."""
    what = " ".join(str(error).split())
    return BadDataError(
        "MIRROR_DAMAGED",
        f"an object cannot be used: {what}; at {mirror.address}/{key}; delete it, and push the artifact again",
    )


def differs(mirror: Mirror, entry: MirrorEntry, here: str) -> BadDataError:
    """The error for an artifact of which the mirror has another making."""
    return BadDataError(
        "MIRROR_DIFFERS",
        f"{entry} is there with other content ({entry.content[:12]}) than here ({here[:12]}): it was made twice; at "
        f"{mirror.address}/{entry_key(entry.kind, entry.key)}; move the one of this store away and fetch the other, or "
        "delete that entry and push again",
    )
