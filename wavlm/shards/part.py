"""Build one part of a shards folder: pack some recordings into one tar, and record what is in it."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import IO, NamedTuple

from wavlm.shards.account import Account
from wavlm.shards.coverage import Covered
from wavlm.shards.flac import encode_flac
from wavlm.shards.plan import TarPart, digest_inputs
from wavlm.shards.recordings import Intake, Recordings
from wavlm.shards.rejects import Reject
from wavlm.shards.utterance import Piece, Utterance, to_json
from wavlm.specs import ShardSpec
from wavlm.storage.files import atomic_path, is_whole, note_whole, read_json, sha256_of, write_text

RECORDS = "parts"
TAR_OWNER, TAR_MODE = "wavlm", 0o644
TAR_FORMAT = "GNU_FORMAT"  # allows names of more than 100 characters, the limit of USTAR


class Origin(NamedTuple):
    """Where a piece comes from. Two that share samples are copies of each other, in part or as a whole."""

    file: int  # the first 64 bits of the sha256 of the recording's file
    channel: int  # as in `Piece`
    start: int  # samples at 16 kHz in the file
    stop: int


@dataclass(frozen=True)
class PackedUtterance:
    """The position of an utterance in its tar, and the recordings that it is made of."""

    key: str
    offset: int  # of the FLAC member's content
    size: int
    samples: int
    gap_samples: int  # of them: silence between joined recordings
    speaker: str
    split: str
    sha256: str  # of the FLAC
    sources: tuple[str, ...]  # keys of recordings
    language: str = ""  # empty: not known
    origins: tuple[Origin, ...] = ()  # where its pieces come from


@dataclass(frozen=True)
class PartRecord:
    """The result of a part. Its file is written last, and a note of its digest behind it: then the tar is complete."""

    stem: str
    inputs: str  # digest of the spec and the rows; a record of other inputs is ignored
    sha256: str  # of the tar; empty if no recording was good, so that there is no tar
    size_bytes: int
    utterances: tuple[PackedUtterance, ...]
    rejects: tuple[Reject, ...]
    account: Account
    covered: tuple[Covered, ...] = ()  # files of which there are regions

    @property
    def shard(self) -> str:
        return f"{self.stem}.tar"


def build_part(part: TarPart, spec: ShardSpec, intake: Intake, corpus_dir: Path, out: Path) -> PartRecord:
    """Build a part, unless an earlier attempt has built it from the same inputs."""
    inputs = digest_inputs(part, spec, intake.channels, intake.role)
    path = out / RECORDS / f"{part.stem}.json"
    found = read_record(path) if is_whole(path) else None
    if found is not None and found.inputs == inputs and _is_whole(found, out):
        return found
    recordings = Recordings(spec, intake, corpus_dir, out)
    tar = out / f"{part.stem}.tar"
    with closing(recordings.utterances(part.rows)) as utterances:
        files = {row.key: row.sha256 for row in part.rows}
        packed, digest, size_bytes = _write_part(tar, utterances, files)
    rejects, account = recordings.ledger.close()
    covered = tuple(recordings.covered)
    record = PartRecord(part.stem, inputs, digest, size_bytes, packed, rejects, account, covered)
    write_text(path, json.dumps(asdict(record), sort_keys=True, ensure_ascii=False))
    note_whole(path)
    return record


def _write_part(
    tar: Path, utterances: Iterator[Utterance], files: Mapping[str, str]
) -> tuple[tuple[PackedUtterance, ...], str, int]:
    """The utterances of a tar, its sha256 and its size; no tar if there are no utterances."""
    first = next(utterances, None)
    if first is None:
        tar.unlink(missing_ok=True)
        return (), "", 0
    with atomic_path(tar) as temporary:
        packed, digest = write_digested_tar(temporary, chain([first], utterances), files)
    return packed, digest, tar.stat().st_size


def write_tar(
    path: Path, utterances: Iterable[Utterance], files: Mapping[str, str] | None = None
) -> tuple[PackedUtterance, ...]:
    """Write a tar with webdataset's writer.

    `files`: the sha256 of the file of each recording, by its key; None: the pieces are of no recordings.
    """
    return write_digested_tar(path, utterances, files)[0]


def write_digested_tar(
    path: Path, utterances: Iterable[Utterance], files: Mapping[str, str] | None
) -> tuple[tuple[PackedUtterance, ...], str]:
    """As `write_tar`, and the sha256 of the tar. Places and digest are known while it is written: nothing is read."""
    import webdataset  # imported here because reading by offset does not need it

    entries: list[PackedUtterance] = []
    with (
        path.open("wb") as raw,
        webdataset.TarWriter(
            file := DigestingFile(raw),
            user=TAR_OWNER,
            group=TAR_OWNER,
            mode=TAR_MODE,
            mtime=0,
            encoder=False,
            format=TAR_FORMAT,
        ) as writer,
    ):
        for utterance in utterances:
            flac = encode_flac(utterance.waveform)
            offset = file.tell() + _header_bytes(f"{utterance.key}.flac")
            writer.write({"__key__": utterance.key, "flac": flac, "json": to_json(utterance)})
            entries.append(replace(_describe_utterance(utterance, flac, files), offset=offset))
    return tuple(entries), file.hexdigest()


def _header_bytes(name: str) -> int:
    """How many bytes stand before the content of the first member of a sample: its header, or those of a long name."""
    return len(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))


class DigestingFile:
    """A file that is written from front to end, and digested meanwhile."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest, self._size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self._size += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _describe_utterance(utterance: Utterance, flac: bytes, files: Mapping[str, str] | None) -> PackedUtterance:
    pieces = utterance.pieces
    return PackedUtterance(
        key=utterance.key,
        offset=-1,
        size=len(flac),
        samples=len(utterance.waveform),
        gap_samples=len(utterance.waveform) - sum(piece.samples for piece in pieces),
        speaker=utterance.speaker,
        split=utterance.split,
        sha256=hashlib.sha256(flac).hexdigest(),
        sources=tuple(piece.key for piece in pieces),
        language=utterance.language or "",
        origins=tuple(_origin_of(piece, files[piece.key]) for piece in pieces) if files else (),
    )


def _origin_of(piece: Piece, sha256: str) -> Origin:
    return Origin(int(sha256[:16], 16), piece.channel, piece.start, piece.start + piece.samples)


def read_record(path: Path) -> PartRecord:
    """The record in a file. Raises OSError, and ValueError, TypeError or KeyError if it is damaged."""
    value = read_json(path)
    value["utterances"] = tuple(
        PackedUtterance(
            **{**item, "sources": tuple(item["sources"]), "origins": tuple(map(Origin._make, item["origins"]))}
        )
        for item in value["utterances"]
    )
    value["rejects"] = tuple(Reject(**item) for item in value["rejects"])
    value["account"] = Account(**value["account"])
    value["covered"] = tuple(
        Covered(**{**item, "spans": tuple(map(tuple, item["spans"]))}) for item in value["covered"]
    )
    return PartRecord(**value)


def _is_whole(record: PartRecord, out: Path) -> bool:
    tar = out / record.shard
    if not record.utterances:
        return not tar.exists()
    return tar.is_file() and tar.stat().st_size == record.size_bytes and sha256_of(tar) == record.sha256
