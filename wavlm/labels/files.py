"""Label files: one Parquet file per shard, with the labels of each utterance and where they come from.

`train-000000.parquet` belongs to `train-000000.tar`. Its columns are `key` and `labels`; its metadata are a `Header`.
Of several streams the list of an utterance has the labels of its first frame, then those of the second, and so on.
Reading needs neither faiss nor the network.

Legend: F frames of an utterance, C streams. With one stream labels are (F,), with several (F, C).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from wavlm.errors import BadDataError
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid, labels_per_frame
from wavlm.storage.files import atomic_path
from wavlm.storage.passing import refuse_passing
from wavlm.storage.seals import check_sealed

Labels = npt.NDArray[np.uint16]

T = TypeVar("T")

FORMAT = 1
SCHEMA = pa.schema([("key", pa.string()), ("labels", pa.list_(pa.uint16()))])


class LabelMismatchError(BadDataError):
    """Labels and audio that do not belong together."""

    def __init__(self, message: str) -> None:
        """`message` reads `what happened; where`."""
        super().__init__("LABEL_MISMATCH", f"{message}; make the labels again: wavlm stage labels RECIPE --redo")


@dataclass(frozen=True)
class Header:
    """Where the labels of a shard come from: the metadata of its label file."""

    shard_sha256: str
    codebook_sha256: str
    features: str  # the codebook's features as JSON: {"type": "mfcc"}, or "hidden" and the layer
    label_rate_hz: float
    num_clusters: int  # of each stream
    format: int = FORMAT
    num_streams: int = 1  # not written if it is 1
    grid: FrameGrid | None = None  # not written if frames are 25 ms every 20 ms

    @property
    def labels_per_frame(self) -> int:
        """1, or 2 for labels of MFCC. Standard frames are 50 per second at every sample rate."""
        return labels_per_frame(self.label_rate_hz, self.grid or PAPER_FRAMES)


@dataclass(frozen=True)
class ShardLabels:
    """The labels of the utterances of one shard, in the order of the tar."""

    keys: tuple[str, ...]
    labels: tuple[Labels, ...]
    header: Header

    @property
    def by_key(self) -> Mapping[str, Labels]:
        """The labels of each utterance, by its key."""
        return dict(zip(self.keys, self.labels, strict=True))


def label_file(labels_dir: Path, shard: str) -> Path:
    """The path of the label file of a shard, which is named by its tar."""
    return labels_dir / f"{Path(shard).stem}.parquet"


@dataclass(frozen=True, eq=False)
class JoinedLabels:
    """The labels of the utterances of one shard in one array, in the order of the tar."""

    values: Labels  # (frames of all utterances,), with several streams (frames of all utterances, C)
    bounds: npt.NDArray[np.int32]  # (utterances + 1,): where each utterance begins in `values`


def read_labels(labels_dir: Path, shard: str) -> ShardLabels:
    """The labels of a shard, which is named by its tar. The checksum of every page is verified.

    Raises LabelMismatchError if there is no file, and BadDataError: CHECKSUM if it is not the one that was sealed,
    LABELS_DAMAGED if it is damaged.
    """
    return _read(labels_dir, shard, _parse)


def read_joined(labels_dir: Path, shard: str) -> JoinedLabels:
    """The labels of a shard without their keys, for counting. Raises as `read_labels`."""
    return _read(labels_dir, shard, _join)


def _read(labels_dir: Path, shard: str, parse: Callable[[pa.Table], T]) -> T:
    path = label_file(labels_dir, shard)
    if not path.exists():
        raise LabelMismatchError(f"no labels for shard {shard}; at {path}")
    check_sealed(path)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        return parse(table)
    except (OSError, pa.ArrowException, ValueError, TypeError, KeyError) as error:
        refuse_passing(error, path)
        raise BadDataError("LABELS_DAMAGED", f"{error}; at {path}; remove it and run the labels stage again") from error


def read_header(path: Path) -> Header | None:
    """Where the labels in a file come from; None if the file is missing, damaged, or of another format."""
    try:
        return _parse_header(pq.read_schema(path))
    except (OSError, pa.ArrowException, ValueError, TypeError):
        return None


def codebook_of(labels_dir: Path) -> str:
    """The sha256 of the centroids that the labels in a folder are numbers of; empty if no file says it."""
    headers = (read_header(path) for path in sorted(labels_dir.glob("*.parquet")))
    return next((header.codebook_sha256 for header in headers if header), "")


def write_labels(path: Path, keys: Sequence[str], labels: Sequence[Labels], header: Header) -> None:
    """Write the labels of one shard. The same labels give the same bytes."""
    bounds = np.cumsum([0, *(item.size for item in labels)]).astype(np.int32)
    values = np.concatenate([item.ravel() for item in labels]) if labels else np.zeros(0, np.uint16)
    table = pa.table(
        {"key": pa.array(keys, pa.string()), "labels": pa.ListArray.from_arrays(bounds, values)},
        metadata={name: json.dumps(value) for name, value in _said(header).items()},
    )
    with atomic_path(path) as temporary:
        # Low and high bytes are stored apart: the high ones are 0 or 1, so a label takes little more than its bits,
        # in any order. Measured in kB per hour: MFCC, K = 100 at 100 Hz, 119-184; K = 500 at 50 Hz, 213 (uniform,
        # the worst case). No dictionary: there are few values and long runs.
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=9,
            use_dictionary=False,
            column_encoding={"key": "PLAIN", "labels.list.element": "BYTE_STREAM_SPLIT"},
            write_page_checksum=True,
        )


def _parse(table: pa.Table) -> ShardLabels:
    joined = _join(table)
    return ShardLabels(
        keys=tuple(table["key"].to_pylist()),
        labels=tuple(np.split(joined.values, joined.bounds[1:-1])) if len(table) else (),
        header=_parse_header(table.schema),
    )


def _join(table: pa.Table) -> JoinedLabels:
    """Raises ValueError, TypeError or KeyError for a table that `write_labels` did not write."""
    header = _parse_header(table.schema)
    if table.schema.remove_metadata() != SCHEMA or table["labels"].null_count:
        raise ValueError(f"found columns {table.schema.names}, expected {SCHEMA.names} without gaps")
    column = table["labels"].combine_chunks()
    bounds, values = column.offsets.to_numpy(), column.values.to_numpy()
    if len(values) and int(values.max()) >= header.num_clusters:
        raise ValueError(f"found label {int(values.max())} of {header.num_clusters} clusters")
    if (streams := header.num_streams) > 1:
        if (bounds % streams).any():
            raise ValueError(f"found a list whose length is no multiple of {streams}, the number of streams")
        return JoinedLabels(values.reshape(-1, streams), bounds // streams)
    return JoinedLabels(values, bounds)


def first_stream(labels: Labels) -> Labels:
    """The labels of the first stream, (F,)."""
    return labels if labels.ndim == 1 else labels[:, 0]


def _said(header: Header) -> dict[str, object]:
    """The metadata of a file: a header as it was before there were streams and grids, if there are none."""
    said: dict[str, object] = asdict(header)
    del said["grid"]
    if header.num_streams == 1:
        del said["num_streams"]
    return said if header.grid is None else {**said, "grid": header.grid.model_dump()}


def _parse_header(schema: pa.Schema) -> Header:
    said = {name.decode(): json.loads(value) for name, value in (schema.metadata or {}).items()}
    grid = FrameGrid.model_validate(said.pop("grid")) if "grid" in said else None
    return Header(**said, grid=grid)
