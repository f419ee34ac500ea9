"""`rejects.parquet`: the recordings of a corpus that are in no utterance, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from wavlm.storage.parquet import write_parquet

_SCHEMA = pa.schema([(name, pa.string()) for name in ("key", "reason", "detail")])


@dataclass(frozen=True)
class Reject:
    """A recording that is in no utterance."""

    key: str  # of the recording
    reason: str  # a `wavlm.corpus.audio.reason.Reason`
    detail: str


def rejects_path(shards_dir: Path) -> Path:
    """The path of the list of rejects."""
    return shards_dir / "rejects.parquet"


def write_rejects(shards_dir: Path, rejects: Sequence[Reject]) -> None:
    """Write one row per rejected or excluded recording."""
    write_parquet(rejects_path(shards_dir), pa.Table.from_pylist([vars(reject) for reject in rejects], schema=_SCHEMA))


def read_rejects(shards_dir: Path) -> list[Reject]:
    """The rejected and excluded recordings of a shards folder, in the order of the manifest's parts."""
    table = pq.read_table(rejects_path(shards_dir), page_checksum_verification=True)
    return [Reject(**row) for row in table.to_pylist()]
