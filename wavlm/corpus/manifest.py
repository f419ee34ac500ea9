"""`manifest.parquet`: the recordings of a corpus, one row per region of a file, in the order of the layout.

A region is a span of time of a file, and a channel of it if one is named. Most recordings are a whole file.

| column | type | |
|---|---|---|
| key | string | `[A-Za-z0-9_-]+`, unique; see `wavlm.corpus.layouts.key_of` |
| path | string | relative to the corpus folder, or to the folder of a folder source; see `path_to_text` |
| start_s | float64 or null | start of the region in the file, in seconds; null: from the beginning |
| end_s | float64 or null | its end; null: to the end of the file |
| channel | int16 or null | of the file, counted from 1; null: as the corpus spec says |
| speaker | string | from the layout; `unknown` if the layout does not name one |
| language | string or null | as the publisher writes it |
| split | string | `train` or `valid` |
| text | string or null | as published |
| phones | list of {start_s, end_s, phone}, or null | seconds from the start of the region |
| size_bytes | int64 | of the file |
| sha256 | string | of the file |
| sample_rate_hz | int32 | as `wavlm.corpus.audio.stream.probe` finds it; -1 if the file cannot be read |
| num_samples | int64 | of the region per channel, by a possible header or measured; -1 if the file cannot be read |
| generation | int32 | counted from 1; more than 1 for what came later into a corpus that grows |

Later stages do not rely on rate and samples: the shards stage decodes every file completely. The metadata of the schema
hold the format, the corpus, the number of recordings, the rule of the split (`wavlm.corpus.facts.SplitRule`) and the
threshold of its hashes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wavlm.corpus.layouts import Phone, path_from_text, path_to_text
from wavlm.errors import BadDataError
from wavlm.specs import HoldOut
from wavlm.storage.parquet import AddRows, open_parquet
from wavlm.storage.passing import refuse_passing
from wavlm.storage.seals import check_sealed

MANIFEST = "manifest.parquet"
BATCH_ROWS = 1 << 14  # of what is read at a time: 5 MB
FORMAT = "3"  # 2: the threshold of the split; 3: regions, channels, languages, generations

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("channel", pa.int16()),
        pa.field("speaker", pa.string(), nullable=False),
        pa.field("language", pa.string()),
        pa.field("split", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field(
            "phones",
            pa.list_(
                pa.struct(
                    [
                        pa.field("start_s", pa.float64(), nullable=False),
                        pa.field("end_s", pa.float64(), nullable=False),
                        pa.field("phone", pa.string(), nullable=False),
                    ]
                )
            ),
        ),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("sample_rate_hz", pa.int32(), nullable=False),
        pa.field("num_samples", pa.int64(), nullable=False),
        pa.field("generation", pa.int32(), nullable=False),
    ]
)


class Content(NamedTuple):
    """The audio of a recording: two with the same content are copies."""

    sha256: str  # of the file
    start_s: float | None
    end_s: float | None
    channel: int | None


@dataclass(frozen=True)
class ManifestRow:
    """One recording of a corpus: a file or a region of it. Rate and samples are -1 if the file cannot be read."""

    key: str
    path: str
    speaker: str
    split: Literal["train", "valid"]
    text: str | None
    phones: tuple[Phone, ...] | None
    size_bytes: int
    sha256: str
    sample_rate_hz: int
    num_samples: int
    start_s: float | None = None
    end_s: float | None = None
    channel: int | None = None
    language: str | None = None
    generation: int = 1

    @property
    def is_region(self) -> bool:
        """Whether the row names a part of its file; else the row is the file."""
        return not (self.start_s is None and self.end_s is None and self.channel is None)

    @property
    def content(self) -> Content:
        """What tells equal recordings: the bytes of the file, and the region of it."""
        return Content(self.sha256, self.start_s, self.end_s, self.channel)

    @property
    def seconds(self) -> float:
        """Duration; 0 if it is not known."""
        return max(0, self.num_samples) / max(1, self.sample_rate_hz)

    @property
    def microseconds(self) -> int:
        """The duration as an integer, so that sums are exact."""
        return round(1e6 * self.seconds)


def write_manifest(path: Path, rows: Sequence[ManifestRow], corpus: str, rule: str, below: float = 0.0) -> None:
    """Write the manifest. The same rows give the same bytes."""
    with open_manifest(path, len(rows), corpus, rule, below) as add:
        add(pa.Table.from_pylist([to_plain(row) for row in rows], schema=SCHEMA))


@contextmanager
def open_manifest(path: Path, num_rows: int, corpus: str, rule: str, below: float) -> Iterator[AddRows]:
    """Write a manifest of which the caller adds some rows at a time, `num_rows` in all."""
    metadata = {
        "format": FORMAT,
        "corpus": corpus,
        "split_rule": rule,
        "split_below": repr(below),
        "recordings": str(num_rows),
    }
    with open_parquet(path, SCHEMA.with_metadata(metadata)) as add:
        yield add


def read_manifest(corpus_dir: Path) -> list[ManifestRow]:
    """The rows of a corpus folder's manifest.

    Raises BadDataError: MANIFEST if it is missing, damaged or edited, CHECKSUM if it is not the one that was sealed.
    """
    return [row for batch in stream_manifest(corpus_dir) for row in rows_of_table(batch, corpus_dir / MANIFEST)]


def rows_of_table(table: pa.Table | pa.RecordBatch, path: Path) -> list[ManifestRow]:
    """The rows of a table with the columns of the manifest. Raises BadDataError (MANIFEST), which names `path`."""
    try:
        return [_row(found) for found in table.to_pylist()]
    except ValueError as error:  # other bytes than UTF-8
        raise _unreadable(path, error) from error


def num_recordings(corpus_dir: Path) -> int:
    """The number of rows of a manifest. Raises as `read_manifest`."""
    with _open(corpus_dir / MANIFEST) as file:
        return int(file.metadata.num_rows)


def stream_manifest(corpus_dir: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The manifest some rows at a time, as columns: for what must not hold a million rows as objects.

    columns: those that are wanted; None: all. Paths are as the manifest spells them. Raises as `read_manifest`.
    """
    path = corpus_dir / MANIFEST
    with _open(path) as file:
        _check_form(file, path)
        yield from file.iter_batches(BATCH_ROWS, columns=None if columns is None else list(columns), use_threads=False)


def _check_form(file: pq.ParquetFile, path: Path) -> None:
    schema = file.schema_arrow
    metadata = schema.metadata or {}
    if metadata.get(b"format") != FORMAT.encode() or not schema.equals(SCHEMA):
        raise BadDataError(
            "MANIFEST",
            f"found columns {schema.names} of format {metadata.get(b'format')}, expected "
            f"{SCHEMA.names} of format {FORMAT}; at {path}; make the corpus again",
        )
    expected = metadata.get(b"recordings", b"").decode("ascii", "replace")
    if str(file.metadata.num_rows) != expected:
        raise BadDataError(
            "MANIFEST",
            f"found {file.metadata.num_rows} rows, expected {expected}; at {path}; make the corpus again",
        )


class Rule(NamedTuple):
    """How the valid split was chosen: a `wavlm.corpus.facts.SplitRule`, and the threshold of the hashes."""

    by: str
    below: float


def read_rule(corpus_dir: Path) -> Rule:
    """How the valid split of a manifest was chosen. Raises as `read_manifest`."""
    path = corpus_dir / MANIFEST
    with _open(path) as file:
        metadata = file.schema_arrow.metadata or {}
    try:
        return Rule(metadata.get(b"split_rule", b"").decode(), float(metadata.get(b"split_below", b"nan")))
    except ValueError as error:
        raise _unreadable(path, error) from error


def read_split_rule(corpus_dir: Path) -> HoldOut | None:
    """The rule by which hashes of names chose the valid split; None if no hashes did. Raises as `read_manifest`."""
    rule = read_rule(corpus_dir)
    if rule.by not in ("speakers", "recordings") or math.isnan(rule.below):
        return None
    try:
        return HoldOut.model_validate(rule._asdict())
    except ValueError as error:
        raise _unreadable(corpus_dir / MANIFEST, error) from error


def read_contents_of(corpus_dir: Path) -> frozenset[str]:
    """The sha256 of every file of a corpus. Raises as `read_manifest`."""
    with _open(corpus_dir / MANIFEST) as file:
        return frozenset(file.read(columns=["sha256"])["sha256"].to_pylist())


def content_texts(rows: pa.Table | pa.RecordBatch) -> pa.Array | pa.ChunkedArray:
    """A text per row that tells equal recordings: the bytes of the file, and the region of it. As `Content`."""
    return pc.binary_join_element_wise(
        rows["sha256"], *_region_texts(rows), " ", null_handling="replace", null_replacement="-"
    )


def place_texts(rows: pa.Table | pa.RecordBatch) -> pa.Array | pa.ChunkedArray:
    """A text per row for its path and the region of its file."""
    return pc.binary_join_element_wise(
        rows["path"], rows["sha256"], *_region_texts(rows), " ", null_handling="replace", null_replacement="-"
    )


def microseconds_of(rows: pa.Table | pa.RecordBatch) -> npt.NDArray[np.int64]:
    """`ManifestRow.microseconds` of each row."""
    samples, rates = rows["num_samples"].to_numpy(), rows["sample_rate_hz"].to_numpy()
    found: npt.NDArray[np.int64] = np.rint(1e6 * (np.maximum(samples, 0) / np.maximum(rates, 1))).astype(np.int64)
    return found


def _region_texts(rows: pa.Table | pa.RecordBatch) -> list[pa.Array]:
    return [pc.cast(rows[name], pa.string()) for name in ("start_s", "end_s", "channel")]


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    check_sealed(path)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            yield file
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        refuse_passing(error, path)
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> BadDataError:
    return BadDataError("MANIFEST", f"cannot be read: {error}; at {path}; make the corpus again")


def to_plain(row: ManifestRow) -> dict[str, object]:
    """A row as the columns of the manifest have it."""
    phones = None if row.phones is None else [phone._asdict() for phone in row.phones]
    return {**asdict(row), "path": path_to_text(row.path), "phones": phones}


def _row(found: dict[str, object]) -> ManifestRow:
    phones, path = found.pop("phones"), found.pop("path")
    assert phones is None or isinstance(phones, list)  # noqa: S101 - the schema was checked
    return ManifestRow(
        path=path_from_text(str(path)),
        **found,  # type: ignore[arg-type] # by the schema that was checked
        phones=None if phones is None else tuple(Phone(**phone) for phone in phones),
    )
