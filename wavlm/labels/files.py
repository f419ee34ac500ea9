"""Labels on disk: one Parquet file a shard, and one flat file of all of them for training.

Needs neither faiss nor the network. Labels and audio are joined by key, never by position, and a
shard is refused whose sha256 is not the one that its labels carry.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from wavlm.errors import BadDataError
from wavlm.specs.shapes import FRAME_RATE_HZ, num_labels
from wavlm.storage.files import atomic_path, open_atomic, read_json

Labels = npt.NDArray[np.uint16]
Integers = npt.NDArray[np.int64]

FORMAT = 1


class LabelMismatchError(BadDataError):
    """Labels and audio that do not belong together."""

    def __init__(self, message: str) -> None:
        super().__init__("LABEL_MISMATCH", message)


@dataclass(frozen=True)
class Header:
    """Where the labels of a shard come from; stored as metadata of its Parquet file."""

    shard_sha256: str
    codebook_sha256: str
    features: str  # "mfcc", or "hidden" and its layer, as the codebook's spec has them
    label_rate_hz: int
    num_clusters: int
    format: int = FORMAT


@dataclass(frozen=True)
class ShardLabels:
    """The labels of a shard's utterances, in the order of the tar."""

    keys: tuple[str, ...]
    labels: tuple[Labels, ...]
    header: Header

    @property
    def by_key(self) -> Mapping[str, Labels]:
        return dict(zip(self.keys, self.labels, strict=True))


def read_labels(labels_dir: Path, shard: str) -> ShardLabels:
    """The labels of one shard, named by its tar; every page's checksum is verified.

    Raises BadDataError if the file is damaged.
    """
    path = labels_dir / f"{Path(shard).stem}.parquet"
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except FileNotFoundError as error:
        raise LabelMismatchError(f"no labels for shard {shard}; expected {path}") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise BadDataError("LABELS_DAMAGED", f"{error}; at {path}; remove it and run the labels stage again") from error
    column = table["labels"].combine_chunks()
    bounds, values = column.offsets.to_numpy(), column.values.to_numpy()
    return ShardLabels(
        keys=tuple(table["key"].to_pylist()),
        labels=tuple(np.split(values, bounds[1:-1])) if len(table) else (),
        header=_header(table.schema),
    )


def read_header(path: Path) -> Header | None:
    """Where the labels in a file come from; None if it does not say."""
    try:
        return _header(pq.read_schema(path))
    except (OSError, ValueError, TypeError):  # a pa.ArrowInvalid is a ValueError
        return None


def _header(schema: pa.Schema) -> Header:
    metadata = schema.metadata or {}
    return Header(**{name.decode(): json.loads(value) for name, value in metadata.items()})


def write_labels(path: Path, keys: Sequence[str], labels: Sequence[Labels], header: Header) -> None:
    """Write the labels of one shard; the same labels give the same bytes."""
    bounds = np.cumsum([0, *map(len, labels)]).astype(np.int32)
    values = np.concatenate(labels) if labels else np.zeros(0, np.uint16)
    table = pa.table(
        {"key": pa.array(keys, pa.string()), "labels": pa.ListArray.from_arrays(bounds, values)},
        metadata={name: json.dumps(value) for name, value in asdict(header).items()},
    )
    with atomic_path(path) as temporary:
        # Low and high bytes apart: the high ones are 0 or 1, so a label takes little more than its
        # bits, whatever the order. Measured, kB an hour: MFCC, K = 100 at 100 Hz, 119-184;
        # K = 500 at 50 Hz, 213 (uniform, the worst). No dictionary: few values, long runs.
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=9,
            use_dictionary=False,
            column_encoding={"key": "PLAIN", "labels.list.element": "BYTE_STREAM_SPLIT"},
            write_page_checksum=True,
        )


@dataclass(frozen=True)
class FlatLabels:
    """One label a network frame of all utterances of all corpora, on disk, mapped into memory."""

    labels: Labels  # (all frames,) at 50 Hz
    starts: Integers  # (utterances + 1,)
    first_row: tuple[int, ...]  # of each corpus, in `starts`

    def of(self, corpus: int, row: int) -> Labels:
        """Labels of an utterance, named by its corpus and its row of index.parquet: (F,)."""
        at = self.first_row[corpus] + row
        return self.labels[self.starts[at] : self.starts[at + 1]]


def open_flat_labels(labels_dirs: Sequence[Path], shards_dirs: Sequence[Path], cache: Path) -> FlatLabels:
    """Open the labels of several corpora for training; built once in the folder `cache`.

    Raises LabelMismatchError if labels and shards do not fit, in whatever respect.
    """
    pairs = list(zip(labels_dirs, shards_dirs, strict=True))
    name = _fingerprint(pairs)
    labels_path, starts_path = cache / f"labels-{name}.npy", cache / f"starts-{name}.npy"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"labels-{name}.lock"):  # the ranks of a machine all come at once
        if not (labels_path.exists() and starts_path.exists()):
            _build_flat(pairs, labels_path, starts_path)
    sizes = [pq.read_metadata(shards_dir / "index.parquet").num_rows for shards_dir in shards_dirs]
    return FlatLabels(
        # As plain arrays on the same memory: a memmap takes microseconds for each slice.
        labels=np.asarray(np.load(labels_path, mmap_mode="r", allow_pickle=False)),
        starts=np.asarray(np.load(starts_path, mmap_mode="r", allow_pickle=False)),
        first_row=tuple(int(first) for first in np.cumsum([0, *sizes[:-1]])),
    )


def _fingerprint(pairs: Sequence[tuple[Path, Path]]) -> str:
    digest = hashlib.sha256(f"format {FORMAT}".encode())
    for labels_dir, shards_dir in pairs:
        for path in (labels_dir / "labels.json", shards_dir / "shards.json"):
            if not path.is_file():
                raise LabelMismatchError(f"{path} is missing: the folder is not complete")
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _build_flat(pairs: Sequence[tuple[Path, Path]], labels_path: Path, starts_path: Path) -> None:
    """Fill both files shard by shard; no more than one shard's labels are in memory."""
    lengths = [_num_frames(shards_dir) for _, shards_dir in pairs]
    starts = np.cumsum(np.concatenate([[0], *lengths]), dtype=np.int64)
    if not starts[-1]:
        raise LabelMismatchError(f"no frames at all in {[str(shards) for _, shards in pairs]}")
    headers: set[tuple[str, str]] = set()
    with atomic_path(labels_path) as temporary:
        flat = np.lib.format.open_memmap(temporary, "w+", np.dtype(np.uint16), (int(starts[-1]),))
        at = 0
        for labels_dir, shards_dir in pairs:
            for header, labels in _read_corpus_labels(labels_dir, shards_dir):
                headers.add((header.codebook_sha256, header.features))
                flat[at : at + len(labels)] = labels
                at += len(labels)
        flat.flush()
        if len(headers) > 1:
            raise LabelMismatchError(f"labels of different codebooks: {sorted(headers)}")
    with open_atomic(starts_path) as file:
        np.save(file, starts, allow_pickle=False)


def _num_frames(shards_dir: Path) -> Integers:
    column = pq.read_table(shards_dir / "index.parquet", columns=["samples"])["samples"]
    return num_labels(column.to_numpy(), FRAME_RATE_HZ)


def _read_corpus_labels(labels_dir: Path, shards_dir: Path) -> Iterator[tuple[Header, Labels]]:
    """The labels of each shard at the frame rate, its utterances in the order of the index."""
    index = pq.read_table(shards_dir / "index.parquet", columns=["key", "shard", "samples"])
    shards = read_json(shards_dir / "shards.json")
    codes = index["shard"].combine_chunks().dictionary_encode().indices.to_numpy()
    bounds = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    for begin, end in pairwise([0, *bounds.tolist(), len(codes)]):
        name = index["shard"][begin].as_py()
        found = read_labels(labels_dir, name)
        if found.header.shard_sha256 != (expected := shards[name]["sha256"]):
            raise LabelMismatchError(
                f"labels of a shard with sha256 {found.header.shard_sha256}, expected {expected}; "
                f"at {shards_dir / name}, {labels_dir}"
            )
        rows = index.slice(begin, end - begin)
        yield found.header, _order_labels(found, rows["key"].to_pylist(), rows["samples"].to_numpy())


def _order_labels(shard: ShardLabels, keys: Sequence[str], num_samples: Integers) -> Labels:
    """The labels of these utterances, one after the other, one a frame of the network."""
    by_key = shard.by_key
    if unknown := sorted(set(keys) ^ set(by_key)):
        raise LabelMismatchError(
            f"{len(by_key)} utterances have labels, {len(keys)} are in the index; not in both: {', '.join(unknown[:5])}"
        )
    rate_hz = shard.header.label_rate_hz
    for key, expected in zip(keys, num_labels(num_samples, rate_hz), strict=True):
        if (found := len(by_key[key])) != expected:
            raise LabelMismatchError(f"{found} labels, expected {expected} at {rate_hz} Hz; at utterance {key}")
    return np.concatenate([by_key[key][:: rate_hz // FRAME_RATE_HZ] for key in keys])
