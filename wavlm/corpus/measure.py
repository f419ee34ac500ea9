"""Look at the files of a part of a corpus: hash them, read their headers, and write rows of the manifest.

A part that an interrupted attempt wrote is kept if it is whole and was made of the same recordings and files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from wavlm.corpus.audio.file_bytes import Inside, Place
from wavlm.corpus.audio.reason import AudioError
from wavlm.corpus.audio.stream import probe_in_steps
from wavlm.corpus.growth.match import Present
from wavlm.corpus.hashing import hash_fenced
from wavlm.corpus.layouts import Recording
from wavlm.corpus.listing import ListedFile, known_of, recordings_of
from wavlm.corpus.manifest import SCHEMA as MANIFEST_SCHEMA
from wavlm.corpus.manifest import ManifestRow, to_plain
from wavlm.corpus.regions import find_passage
from wavlm.execution.fence import FencePool, LostCallError
from wavlm.storage.batches import read_batch
from wavlm.storage.files import is_whole, note_whole
from wavlm.storage.parquet import write_parquet

THREADS = 4  # hashing and reading headers wait for the disk and release the GIL
FENCED_MODULES = ("wavlm.corpus.audio.stream",)  # needed there; a crash of a decoder ends one file, not the stage
PARTS = ".parts.partial"
# The columns of the manifest, what the layout says of the split, and a digest of all that it says.
SCHEMA = pa.schema([*MANIFEST_SCHEMA, pa.field("given", pa.string()), pa.field("row", pa.string(), nullable=False)])


@dataclass(frozen=True)
class FilesPart:
    """The recordings of about 10,000 files."""

    listing: Path
    number: int
    path: Path  # its rows

    def __str__(self) -> str:
        return f"files of part {self.number} of {self.listing.parent.name}"


@dataclass(frozen=True)
class Roots:
    """Where the files of a corpus are, and how long one may keep a worker waiting."""

    files: Path  # where the paths of recordings start
    archives: Path | None  # where the archives lie that files were left in
    shown: PurePosixPath  # what the manifest has before the paths
    stall_seconds: float

    def find(self, name: PurePosixPath, known: ListedFile) -> Place:
        """Where the bytes of a file are."""
        if known.archive is None or self.archives is None:
            return self.files / name
        return Inside(self.archives / known.archive, known.offset or 0, known.size_bytes or 0, name.name)


def part_path(out: Path, number: int) -> Path:
    """The file of a part."""
    return out / PARTS / f"{number:06d}.parquet"


def measure_part(part: FilesPart, roots: Roots) -> None:
    """Write the rows of a part, unless they are there.

    Raises ServiceMissingError (STORAGE_STALLED).
    """
    batch = read_batch(part.listing, part.number)
    inputs = _digest(batch, roots)
    if is_whole(part.path) and (pq.read_schema(part.path).metadata or {}).get(b"inputs") == inputs.encode():
        return
    recordings = list(recordings_of(batch))
    rows = measure(recordings, known_of(batch), roots)
    said = zip(rows, recordings, strict=True)
    plain = [{**to_plain(row), "given": item.split, "row": Present(item, row.sha256).row} for row, item in said]
    table = pa.Table.from_pylist(plain, schema=SCHEMA)
    write_parquet(part.path, table.replace_schema_metadata({"inputs": inputs}))
    note_whole(part.path)


def measure(recordings: Sequence[Recording], known: Iterable[ListedFile], roots: Roots) -> list[ManifestRow]:
    """A row per recording. Each file is looked at once, however many regions it has."""
    files = dict(zip((recording.path for recording in recordings), known, strict=True))
    with FencePool(THREADS, roots.stall_seconds, FENCED_MODULES) as fences, ThreadPoolExecutor(THREADS) as pool:
        look = partial(_read_file, roots=roots, fences=fences)
        found = dict(zip(files, pool.map(look, files, files.values()), strict=True))
    return [_row(recording, found[recording.path]) for recording in recordings]


def read_parts(out: Path, count: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The rows of all parts, part by part."""
    for number in range(count):
        with pq.ParquetFile(part_path(out, number), page_checksum_verification=True, pre_buffer=False) as file:
            table = file.read(None if columns is None else list(columns), use_threads=False)
        yield table.replace_schema_metadata(None)


@dataclass(frozen=True)
class _File:
    """What is known of an audio file. All its regions share it."""

    shown: str  # its path as the manifest spells it
    size_bytes: int
    sha256: str
    sample_rate_hz: int
    num_samples: int


def _read_file(name: PurePosixPath, known: ListedFile, roots: Roots, fences: FencePool) -> _File:
    path = roots.files / name
    sha256 = known.sha256 or hash_fenced(path, fences)
    size = path.stat().st_size if known.size_bytes is None else known.size_bytes
    if known.rate_hz is None or known.num_samples is None:
        rate, samples = _probe(roots.find(name, known), fences)
    else:
        rate, samples = known.rate_hz, known.num_samples
    return _File(str(roots.shown / name), size, sha256, rate, samples)


def _probe(path: Place, fences: FencePool) -> tuple[int, int]:
    """Sample rate in Hz and samples per channel; (-1, -1) for a file that the shards stage will refuse."""
    try:
        info = fences.finish(probe_in_steps, path)
    except (AudioError, LostCallError):
        return -1, -1
    assert info is not None  # noqa: S101 - it comes last
    return info.sample_rate_hz, info.num_samples


def _row(recording: Recording, file: _File) -> ManifestRow:
    passage = find_passage(recording.start_s, recording.end_s, max(0, file.num_samples), file.sample_rate_hz)
    return ManifestRow(
        key=recording.key,
        path=file.shown,
        speaker=recording.speaker,
        split="train",
        text=recording.text,
        phones=recording.phones,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        sample_rate_hz=file.sample_rate_hz,
        num_samples=passage.samples if file.num_samples >= 0 else file.num_samples,
        start_s=recording.start_s,
        end_s=recording.end_s,
        channel=recording.channel,
        language=recording.language,
    )


def _digest(batch: pa.RecordBatch, roots: Roots) -> str:
    """The digest of what a part is made of."""
    said = json.dumps([batch.to_pylist(), str(roots.shown)], default=repr)
    return hashlib.sha256(said.encode()).hexdigest()
