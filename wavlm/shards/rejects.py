"""`rejects.parquet`: the recordings of a corpus that are in no utterance, the pieces that are left out, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from wavlm.errors import BadDataError
from wavlm.storage.parquet import open_parquet
from wavlm.storage.passing import refuse_passing
from wavlm.storage.seals import check_sealed

T = TypeVar("T")

STEP_ROWS = 10_000
_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("piece", pa.string()),
        ("channel", pa.int32()),
        ("start", pa.int64()),
        ("samples", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Reject:
    """A recording that is in no utterance, or a piece of a recording whose other pieces are used."""

    key: str  # of the recording
    reason: str  # a `wavlm.corpus.audio.reason.Reason`
    detail: str
    piece: str = ""  # the key that its utterance would have; empty: the whole recording
    channel: int = 0  # of the piece, counted from 1; 0: the mean, or the only one, or the whole recording
    start: int = 0  # of the piece in its file, in samples at 16 kHz
    samples: int = -1  # that are lost, at 16 kHz, over all channels that are taken; -1: cannot be decoded to its end

    @property
    def is_recording(self) -> bool:
        return not self.piece


def rejects_path(shards_dir: Path) -> Path:
    """The path of the list of rejects."""
    return shards_dir / "rejects.parquet"


def write_rejects(shards_dir: Path, rejects: Iterable[Reject]) -> None:
    """Write one row per recording or piece that is rejected or excluded. They need not be in memory together."""
    with open_parquet(rejects_path(shards_dir), _SCHEMA) as add:
        for some in _batched(rejects, STEP_ROWS):
            add(pa.Table.from_pylist([vars(reject) for reject in some], schema=_SCHEMA))


def _batched(items: Iterable[T], count: int) -> Iterator[list[T]]:
    """Lists of `count` items; the last one may be shorter."""
    rest = iter(items)
    while some := list(islice(rest, count)):
        yield some


def read_rejects(shards_dir: Path) -> list[Reject]:
    """The rejected and excluded recordings and pieces of a shards folder, in the order of the manifest's parts.

    Raises BadDataError: CHECKSUM if it is not the file that was sealed, REJECTS_UNREADABLE if it cannot be read.
    """
    path = rejects_path(shards_dir)
    check_sealed(path)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        return [Reject(**row) for row in table.to_pylist()]
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        refuse_passing(error, path)
        raise BadDataError("REJECTS_UNREADABLE", f"{error}; at {path}; make the shards again") from error
