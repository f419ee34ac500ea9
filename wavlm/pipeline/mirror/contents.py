"""What an entry of a mirror names: its record, which is fetched and compared, and all objects that belong to it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wavlm.pipeline.mirror.entry import MirrorEntry, damaged, read_left_out
from wavlm.pipeline.record import ArtifactRecord, read_record, read_seal
from wavlm.specs.identity import key_of
from wavlm.storage.cache import object_key
from wavlm.storage.ledger import LEDGER_FILE, SealedFile
from wavlm.storage.mirror.mirror import Mirror
from wavlm.storage.seals import PIECES_FILE, RECORD_FILE, SEAL_FILE, content_of


@dataclass(frozen=True)
class NamedObject:
    """An object, and the file of an artifact that it holds."""

    file: SealedFile
    name: str  # of the file, for people

    @property
    def key(self) -> str:
        return object_key(self.file.sha256)


def fetch_record(entry: MirrorEntry, mirror: Mirror, folder: Path) -> ArtifactRecord:
    """Fetch record, seal and ledger of an entry into a folder. Returns the record, which is that of the entry.

    Raises BadDataError (MIRROR_DAMAGED, MIRROR_LACKS), and what `Mirror` raises.
    """
    for name, file in ((LEDGER_FILE, entry.ledger), (SEAL_FILE, entry.seal), (RECORD_FILE, entry.record)):
        if file:
            mirror.fetch(object_key(file.sha256), folder / name, file.sha256, file.bytes)
    record, seal = read_record(folder), read_seal(folder)
    expected = (entry.key, key_of(record.identity), entry.content, content_of(record.files), entry.inputs)
    if seal is None or (record.key, record.key, seal.content, seal.content, seal.inputs) != expected:
        raise damaged(mirror, object_key(entry.record.sha256), f"record and seal are not those of {entry}")
    return record


def objects_of(entry: MirrorEntry, mirror: Mirror) -> Iterator[NamedObject]:
    """All objects that an entry names. Raises as `fetch_record`."""
    with tempfile.TemporaryDirectory() as folder:
        record, left_out = fetch_record(entry, mirror, Path(folder)), read_left_out(mirror, entry)
    about = {
        RECORD_FILE: entry.record,
        SEAL_FILE: entry.seal,
        LEDGER_FILE: entry.ledger,
        PIECES_FILE: entry.pieces,
        "a list of files that are not there": entry.left_out,
    }
    for name, file in (*about.items(), *record.files.items()):
        if file and name not in left_out:
            yield NamedObject(file, f"{entry}/{name}")
