"""What a corpus was in every generation: `history.parquet`, a row per version of a recording.

`since` is the generation that it came with, `until` the one that changed or removed it (null: it is still there). So
the state of each generation can be read from the last one's table, and the table of an earlier generation is this one
without what came later.

`history.parquet` has these columns, in the order in which the versions came:

| column | |
|---|---|
| key, path, start_s, end_s, channel, speaker, size_bytes, sha256, sample_rate_hz, num_samples | as in the manifest |
| split | `train` or `valid`, or why the recording is in neither (`wavlm.corpus.growth.splits`) |
| row | a digest of all that the layout says about the recording, its text and phones too |
| generation | that has a place for it in its parts of shards: that of its first version |
| since, until | |

A recording that is changed keeps its place: it is a further version of the same key and generation. One that was
removed and came back has a new place, in the generation that it came back with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wavlm.corpus.facts import SplitRule
from wavlm.corpus.growth.tables import FORMAT, open_table, stream_table, unreadable
from wavlm.storage.parquet import AddRows, open_parquet
from wavlm.storage.passing import refuse_passing
from wavlm.storage.seals import check_sealed

HISTORY = "history.parquet"
USED = ("train", "valid")  # splits of the manifest

_HISTORY = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("channel", pa.int16()),
        pa.field("speaker", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("sample_rate_hz", pa.int32(), nullable=False),
        pa.field("num_samples", pa.int64(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
        pa.field("generation", pa.int32(), nullable=False),
        pa.field("since", pa.int32(), nullable=False),
        pa.field("until", pa.int32()),
    ]
)


@dataclass(frozen=True)
class History:
    """All versions of the recordings of a corpus, in the order in which they came, and how new ones are split.

    They stay on the disk.
    """

    path: Path
    rule: SplitRule
    below: float

    def stream(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Some columns of the versions, or all, some rows at a time. Raises BadDataError (MANIFEST) for damage."""
        return stream_table(self.path, _HISTORY, columns)


def read_history(path: Path) -> History:
    """The history in a file. Raises BadDataError (MANIFEST) if it is damaged."""
    with open_table(path, _HISTORY) as file:
        metadata = {name.decode(): value.decode() for name, value in file.schema_arrow.metadata.items()}
        rule: SplitRule = metadata["split_rule"]
        return History(path, rule, float(metadata["split_below"]))


@contextmanager
def open_history(corpus_dir: Path, rule: SplitRule, below: float) -> Iterator[AddRows]:
    """Write `history.parquet`, of which the caller adds some versions at a time. The same ones give the same bytes."""
    metadata = {"format": FORMAT, "split_rule": rule, "split_below": repr(below)}
    with open_parquet(corpus_dir / HISTORY, _HISTORY.with_metadata(metadata)) as add:
        yield add


def begin_versions(rows: pa.Table, splits: pa.Array) -> pa.Table:
    """The first versions of recordings that come with the first generation. splits: of each, or why it is in none."""
    ones = np.ones(len(rows), np.int32)
    return make_versions(rows, {"split": splits, "generation": pa.array(ones), "since": pa.array(ones)})


def make_versions(rows: pa.Table | pa.RecordBatch, made: dict[str, pa.Array]) -> pa.Table:
    """Versions that are still there, of rows that have all columns but those that are made."""
    columns = {**made, "until": pa.nulls(len(rows), pa.int32())}
    return pa.table([columns[name] if name in columns else rows[name] for name in _HISTORY.names], schema=_HISTORY)


def end_versions(batch: pa.RecordBatch, untils: pa.Array) -> pa.Table:
    """Some versions with other ends, (versions,)."""
    at = _HISTORY.get_field_index("until")
    return pa.Table.from_batches([batch]).replace_schema_metadata(None).set_column(at, _HISTORY.field("until"), untils)


def num_versions(corpus_dir: Path) -> int:
    """The number of versions of recordings in a corpus' folder. Raises BadDataError (MANIFEST) if it is damaged."""
    path = corpus_dir / HISTORY
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException, ValueError) as error:
        refuse_passing(error, path)
        raise unreadable(path, str(error)) from error


def stream_places(corpus_dir: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch] | None:
    """Some columns of the first version of every recording that ever was in a split, some rows at a time.

    None if the corpus has no history, because it is made of archives. Parts of shards are planned by these.
    Raises BadDataError: MANIFEST if it is damaged, CHECKSUM if it is not the one that was sealed.
    """
    path = corpus_dir / HISTORY
    check_sealed(path)
    return _stream_places(path, columns) if path.is_file() else None


def _stream_places(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    wanted = [*columns, *(name for name in ("split", "since", "generation") if name not in columns)]
    for batch in stream_table(path, _HISTORY, wanted):
        is_used = pc.is_in(batch["split"], value_set=pa.array(USED))
        is_first = pc.equal(batch["since"], batch["generation"])
        yield batch.filter(pc.and_(is_used, is_first)).select(list(columns))
