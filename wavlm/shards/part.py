"""Build one part of a shards folder: pack some recordings into one tar, and record what is in it."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO

from wavlm.shards.flac import encode_flac
from wavlm.shards.plan import TarPart, digest_inputs
from wavlm.shards.record import (
    PackedUtterance,
    PartRecord,
    PieceOrigin,
    describe_part,
    read_record,
    record_path,
    write_record,
)
from wavlm.shards.recordings import Intake, Recordings
from wavlm.shards.utterance import Piece, Utterance, to_json
from wavlm.specs import SAMPLE_RATE_HZ, ShardSpec
from wavlm.storage.files import atomic_path, is_whole, sha256_of

TAR_OWNER, TAR_MODE = "wavlm", 0o644
TAR_FORMAT = "GNU_FORMAT"  # allows names of more than 100 characters, the limit of USTAR


def build_part(part: TarPart, spec: ShardSpec, intake: Intake, corpus_dir: Path, out: Path) -> PartRecord:
    """Build a part, unless an earlier attempt has built it from the same inputs. Its record is written last."""
    rows = part.read_rows()
    inputs = digest_inputs(part.stem, rows, spec, intake.channels, intake.role)
    path = record_path(out, part.stem)
    found = read_record(path) if is_whole(path) else None
    if found is not None and found.inputs == inputs and _is_whole(found, out):
        return found
    recordings = Recordings(spec, intake, corpus_dir, out)
    tar = out / f"{part.stem}.tar"
    with closing(recordings.utterances(rows)) as utterances:
        files = {row.key: row.sha256 for row in rows}
        packed, digest, size_bytes = _write_part(tar, utterances, files, spec.sample_rate_hz)
    rejects, account = recordings.ledger.close()
    record = describe_part(part.stem, packed, rejects, account)
    record = replace(record, inputs=inputs, sha256=digest, size_bytes=size_bytes)
    write_record(path, record, packed, rejects, recordings.covered)
    return record


def _write_part(
    tar: Path, utterances: Iterator[Utterance], files: Mapping[str, str], sample_rate_hz: int
) -> tuple[tuple[PackedUtterance, ...], str, int]:
    """The utterances of a tar, its sha256 and its size; no tar if there are no utterances."""
    first = next(utterances, None)
    if first is None:
        tar.unlink(missing_ok=True)
        return (), "", 0
    with atomic_path(tar) as temporary:
        packed, digest = write_digested_tar(temporary, chain([first], utterances), files, sample_rate_hz)
    return packed, digest, tar.stat().st_size


def write_tar(
    path: Path,
    utterances: Iterable[Utterance],
    files: Mapping[str, str] | None = None,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> tuple[PackedUtterance, ...]:
    """Write a tar with webdataset's writer.

    `files`: the sha256 of the file of each recording, by its key; None: the pieces are of no recordings.
    """
    return write_digested_tar(path, utterances, files, sample_rate_hz)[0]


def write_digested_tar(
    path: Path, utterances: Iterable[Utterance], files: Mapping[str, str] | None, sample_rate_hz: int = SAMPLE_RATE_HZ
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
            flac = encode_flac(utterance.waveform, sample_rate_hz)
            offset = writer.tarstream.offset + _header_bytes(f"{utterance.key}.flac")
            writer.write({"__key__": utterance.key, "flac": flac, "json": to_json(utterance, sample_rate_hz)})
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


def _origin_of(piece: Piece, sha256: str) -> PieceOrigin:
    return PieceOrigin(int(sha256[:16], 16), piece.channel, piece.start, piece.start + piece.samples)


def _is_whole(record: PartRecord, out: Path) -> bool:
    tar = out / record.shard
    if not record.utterances:
        return not tar.exists()
    return tar.is_file() and tar.stat().st_size == record.size_bytes and sha256_of(tar) == record.sha256
