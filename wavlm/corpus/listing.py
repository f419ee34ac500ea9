"""The recordings that a layout finds, on disk: `.recordings.partial`, batches that are each the input of a part.

A row says what the layout says of a recording, and what is known of its file. A batch has the recordings of about
10,000 files; those of one file that stand together are in one batch. The file is temporary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow as pa

from wavlm.corpus.layouts import Phone, Recording, path_from_text, path_to_text
from wavlm.corpus.manifest import SCHEMA as MANIFEST_SCHEMA
from wavlm.storage.batches import num_batches, read_batch, write_batches

LISTING = ".recordings.partial"
FILES_PER_PART = 10_000
_SAID = ("key", "path", "speaker", "text", "phones", "language", "start_s", "end_s", "channel")
SCHEMA = pa.schema(
    [
        *(MANIFEST_SCHEMA.field(name) for name in _SAID),
        pa.field("given", pa.string()),  # the split that the publisher says
        pa.field("part", pa.string(), nullable=False),
        pa.field("target", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("size_bytes", pa.int64()),
        pa.field("archive", pa.string()),
        pa.field("offset", pa.int64()),
        pa.field("rate_hz", pa.int32()),
        pa.field("num_samples", pa.int64()),
    ]
)


class ListedFile(NamedTuple):
    """What is known of a file before it is opened."""

    sha256: str | None = None  # None: it is to be hashed
    size_bytes: int | None = None  # None: as the disk says
    archive: str | None = None  # the archive that it was left in; None: it lies below the folder
    offset: int | None = None  # in the archive
    rate_hz: int | None = None  # None: it is to be measured
    num_samples: int | None = None  # per channel, where the rate is known


@dataclass(frozen=True)
class RecordingList:
    """The file of the recordings."""

    path: Path

    @property
    def num_parts(self) -> int:
        return num_batches(self.path)

    def stream(self) -> Iterator[pa.RecordBatch]:
        """All recordings, part by part."""
        return (read_batch(self.path, number) for number in range(self.num_parts))

    def read_recordings(self) -> Iterator[Recording]:
        """All recordings, as the layout has them."""
        return (recording for batch in self.stream() for recording in recordings_of(batch))


def write_listing(
    path: Path, recordings: Iterable[Recording], find: Callable[[PurePosixPath], ListedFile]
) -> RecordingList:
    """Write the recordings as they come. `find`: what is known of a file."""
    write_batches(path, SCHEMA, (_to_batch(rows) for rows in _cut(_rows(recordings, find))))
    return RecordingList(path)


def recordings_of(batch: pa.RecordBatch) -> Iterator[Recording]:
    """The recordings of a part."""
    for row in batch.to_pylist():
        phones = row["phones"]
        yield Recording(
            row["key"],
            PurePosixPath(path_from_text(row["path"])),
            row["speaker"],
            row["text"],
            None if phones is None else tuple(Phone(**phone) for phone in phones),
            row["given"],
            row["language"],
            row["start_s"],
            row["end_s"],
            row["channel"],
            row["part"],
            row["target"],
        )


def known_of(batch: pa.RecordBatch) -> list[ListedFile]:
    """What is known of the file of each recording of a part."""
    return [ListedFile(**row) for row in batch.select(list(ListedFile._fields)).to_pylist()]


def _rows(recordings: Iterable[Recording], find: Callable[[PurePosixPath], ListedFile]) -> Iterator[dict[str, object]]:
    path: PurePosixPath | None = None
    known = ListedFile()
    for item in recordings:
        if item.path != path:
            path, known = item.path, find(item.path)
        yield {
            "key": item.key,
            "path": path_to_text(str(item.path)),
            "speaker": item.speaker,
            "text": item.text,
            "phones": None if item.phones is None else [phone._asdict() for phone in item.phones],
            "language": item.language,
            "start_s": item.start_s,
            "end_s": item.end_s,
            "channel": item.channel,
            "given": item.split,
            "part": item.part,
            "target": item.target,
            **known._asdict(),
        }


def _cut(rows: Iterable[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    part: list[dict[str, object]] = []
    num_files, path = 0, None
    for row in rows:
        if row["path"] != path:
            path = row["path"]
            if num_files == FILES_PER_PART:
                yield part
                part, num_files = [], 0
            num_files += 1
        part.append(row)
    if part:
        yield part


def _to_batch(rows: list[dict[str, object]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
