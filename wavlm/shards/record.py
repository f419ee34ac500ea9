"""The record of a part: what is in its tar, what is not used, and the account. One Parquet file per part in `parts/`.

Its rows are the utterances of the tar: the columns of the index but `shard`, the gap between joined recordings, and the
keys of these. The rest is JSON in the metadata of its schema, and is read without the rows. It is written last, and a
note of its digest behind it: then the tar is complete.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from wavlm.shards.account import Account
from wavlm.shards.coverage import Covered
from wavlm.shards.index import INDEX_SCHEMA
from wavlm.shards.rejects import Reject
from wavlm.storage.files import note_whole
from wavlm.storage.parquet import write_parquet

RECORDS = "parts"
SUFFIX = ".parquet"
_FIELDS = [column for column in INDEX_SCHEMA if column.name != "shard"]
_SCHEMA = pa.schema(
    [*_FIELDS, pa.field("gap_samples", pa.int64()), pa.field("sources", pa.list_(pa.field("key", pa.string())))]
)


class PieceOrigin(NamedTuple):
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
    origins: tuple[PieceOrigin, ...] = ()  # where its pieces come from


@dataclass(frozen=True)
class PartRecord:
    """What a part reports. It travels between processes and stays in memory, so it names no utterance."""

    stem: str
    inputs: str = ""  # digest of the spec and the rows; a record of other inputs is ignored
    sha256: str = ""  # of the tar; empty if no recording was good, so that there is no tar
    size_bytes: int = 0
    utterances: int = 0
    samples: int = 0
    gap_samples: int = 0
    lost_samples: int = 0  # of rejects
    rejected: Mapping[str, int] = field(default_factory=dict)  # recordings per `Reason`, also the excluded ones
    rejected_pieces: Mapping[str, int] = field(default_factory=dict)
    account: Account = field(default_factory=Account)

    @property
    def shard(self) -> str:
        return f"{self.stem}.tar"


@dataclass(frozen=True, eq=False)
class PartRows:
    """What a part says row by row."""

    utterances: pa.Table
    rejects: tuple[Reject, ...]
    covered: tuple[Covered, ...]  # files of which there are regions


def record_path(out: Path, stem: str) -> Path:
    """The path of the record of a part."""
    return out / RECORDS / f"{stem}{SUFFIX}"


def describe_part(
    stem: str, packed: Sequence[PackedUtterance], rejects: Sequence[Reject] = (), account: Account | None = None
) -> PartRecord:
    """The record of a part, without its digests."""
    return PartRecord(
        stem=stem,
        utterances=len(packed),
        samples=sum(item.samples for item in packed),
        gap_samples=sum(item.gap_samples for item in packed),
        lost_samples=sum(max(0, reject.samples) for reject in rejects),
        rejected=dict(Counter(reject.reason for reject in rejects if reject.is_recording)),
        rejected_pieces=dict(Counter(reject.reason for reject in rejects if not reject.is_recording)),
        account=account or Account(),
    )


def to_table(packed: Sequence[PackedUtterance]) -> pa.Table:
    """The rows of some utterances, in their order."""
    rows = [{**vars(item), "origins": [origin._asdict() for origin in item.origins]} for item in packed]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def write_record(
    path: Path,
    record: PartRecord,
    packed: Sequence[PackedUtterance],
    rejects: Sequence[Reject],
    covered: Sequence[Covered],
) -> None:
    """Write the record of a part, and note that it is whole. The same part gives the same bytes."""
    said = {"rejects": [vars(item) for item in rejects], "covered": [asdict(item) for item in covered]}
    metadata = {"record": _to_json(asdict(record)), "rows": _to_json(said)}
    write_parquet(path, to_table(packed).replace_schema_metadata(metadata))
    note_whole(path)


def read_record(path: Path) -> PartRecord:
    """The record in a file, without its rows. Raises OSError, and ValueError, TypeError or KeyError for damage."""
    value = json.loads(pq.read_schema(path).metadata[b"record"])
    return PartRecord(**{**value, "account": Account(**value["account"])})


def read_rows(path: Path) -> PartRows:
    """The rows of a record. Raises as `read_record`."""
    with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
        table = file.read(use_threads=False)
    said = json.loads(table.schema.metadata[b"rows"])
    rejects = tuple(Reject(**item) for item in said["rejects"])
    covered = (Covered(**{**item, "spans": tuple(map(tuple, item["spans"]))}) for item in said["covered"])
    return PartRows(table.replace_schema_metadata(None), rejects, tuple(covered))


def _to_json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
