"""Labels for training: all corpora in one flat column, with a CRC-32 per utterance.

The column holds one label per frame of the network, in the order of the indexes of the shards. It is built once in a
cache folder, from the label files. Labels and audio are joined by key, never by position. A shard whose sha256 is
not the one in its label file is refused. A cache that was changed is built again. Needs neither faiss nor the network.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import JsonValue

from wavlm.errors import BadDataError
from wavlm.labels.facts import labels_path
from wavlm.labels.files import FORMAT, Header, LabelMismatchError, Labels, ShardLabels, read_labels
from wavlm.shards import listing_path, read_listing, stream_columns
from wavlm.shards.listing import read_sample_rate
from wavlm.specs.frames import FrameGrid, num_labels
from wavlm.storage.arrow import to_numbers
from wavlm.storage.columns import ColumnWriter, MappedColumns, forget_columns, open_columns
from wavlm.storage.passing import PatientFile
from wavlm.storage.seals import check_sealed

FOOTER_BYTES = 8192  # a Parquet file ends with its metadata: codebook, sha256 of the shard, column sizes

Integers = npt.NDArray[np.int64]

COLUMNS = {"labels": "<u2", "ends": "<u8", "checks": "<u4"}


class FlatLabels:
    """The labels of each frame of the network, of all utterances of all corpora.

    The labels of an utterance are compared with their CRC-32 where they are read: of 94,000 hours they are 34 GB, which
    nobody wants to read before the first update.
    """

    def __init__(self, columns: MappedColumns) -> None:
        self._columns, self._first_row = columns, tuple(columns.about["first_rows"])
        self._ends, self._checks = columns["ends"], columns["checks"]
        self._file = PatientFile(columns.path("labels"))

    @property
    def labels(self) -> Labels:
        """All of them, (all frames,), with several streams (all frames, C), mapped into memory."""
        values: Labels = self._columns["labels"]
        return values if self.num_streams == 1 else values.reshape(-1, self.num_streams)

    @property
    def num_streams(self) -> int:
        """Labels per frame."""
        return int(self._columns.about.get("num_streams", 1))

    @property
    def footers(self) -> tuple[bytes, ...]:
        """For each corpus a digest of names, sizes and ends of all its label files: other labels give another one."""
        return tuple(map(bytes.fromhex, self._columns.about["footers"]))

    def of(self, corpus: int, row: int) -> Labels:
        """Labels of an utterance, given the number of its corpus and its row in the index: (F,), or (F, C).

        Raises BadDataError (LABELS_DAMAGED) if they were changed, and ReadLostError.
        """
        utterance = self._first_row[corpus] + row
        begin, end = (int(self._ends[utterance - 1]) if utterance else 0), int(self._ends[utterance])
        size = 2 * self.num_streams
        blob = self._file.read(size * (end - begin), size * begin)
        if zlib.crc32(blob) != self._checks[utterance]:
            forget_columns(self._columns.folder)
            raise BadDataError(
                "LABELS_DAMAGED",
                f"the copy of the labels that training reads was changed; at {self._columns.path('labels')}; run "
                "again: it is made again from the files of labels",
            )
        labels = np.frombuffer(blob, COLUMNS["labels"])
        return labels if self.num_streams == 1 else labels.reshape(-1, self.num_streams)


def open_flat_labels(
    labels_dirs: Sequence[Path],
    shards_dirs: Sequence[Path],
    cache: Path,
    grid: FrameGrid | None = None,
    *,
    check: bool = True,
) -> FlatLabels:
    """Open the labels of several corpora for training. The first call builds the flat file in the folder `cache`.

    grid: the frames of the network that learns the labels; None: 25 ms every 20 ms.
    check: as `wavlm.storage.columns.open_columns`; it reads none of the labels.

    Raises LabelMismatchError if labels and shards do not fit in any respect.
    """
    corpora = list(zip(labels_dirs, shards_dirs, strict=True))
    folder = cache / f"labels-{_fingerprint(corpora, grid)}"
    build = partial(_build_flat, corpora, grid)
    return FlatLabels(open_columns(folder, build, check=check, unchecked=("labels",)))


def _fingerprint(corpora: Sequence[tuple[Path, Path]], grid: FrameGrid | None) -> str:
    """A name for these labels of these shards, from the files that list their checksums."""
    digest = hashlib.sha256(f"format {FORMAT}{grid or ''}".encode())
    for labels_dir, shards_dir in corpora:
        for path in (labels_path(labels_dir), listing_path(shards_dir)):
            if not path.is_file():
                raise LabelMismatchError(f"{path.name} is missing, so the folder is not complete; at {path.parent}")
            check_sealed(path)
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _build_flat(
    corpora: Sequence[tuple[Path, Path]], grid: FrameGrid | None, writer: ColumnWriter
) -> Mapping[str, JsonValue]:
    """Write the columns shard by shard. Only the labels of one shard are in memory."""
    codebooks: set[tuple[str, str]] = set()
    streams = 1
    end, first_rows = 0, []
    for labels_dir, shards_dir in corpora:
        first_rows.append(writer.length("ends"))
        for header, labels in _read_corpus(labels_dir, shards_dir, grid):
            codebooks.add((header.codebook_sha256, header.features))
            streams = header.num_streams
            ends = end + np.cumsum([len(item) for item in labels])
            columns = (np.concatenate(labels).ravel(), ends, np.array([zlib.crc32(item.data) for item in labels]))
            for (name, dtype), values in zip(COLUMNS.items(), columns, strict=True):
                writer.append(name, values, dtype)
            end = int(ends[-1])
    if not end:
        raise LabelMismatchError(f"no frames at all; in {[str(shards) for _, shards in corpora]}")
    if len(codebooks) > 1:
        raise LabelMismatchError(
            f"labels of different codebooks: {sorted(codebooks)}; in {[str(labels) for labels, _ in corpora]}"
        )
    return {
        "first_rows": [*first_rows],
        "footers": [digest_footers(labels).hex() for labels, _ in corpora],
        "num_streams": streams,
    }


def digest_footers(folder: Path) -> bytes:
    """sha256 of names, sizes and footers of all label files: other labels give another digest."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.parquet")):
        size_bytes = path.stat().st_size
        digest.update(f"{path.name} {size_bytes}\n".encode())
        with path.open("rb") as file:
            file.seek(max(0, size_bytes - FOOTER_BYTES))
            digest.update(file.read())
    return digest.digest()


def _read_corpus(labels_dir: Path, shards_dir: Path, grid: FrameGrid | None) -> Iterator[tuple[Header, list[Labels]]]:
    """The labels of each shard, one per frame, its utterances in the order of the index."""
    listing = read_listing(shards_dir)
    standard = FrameGrid.standard(read_sample_rate(shards_dir))
    frames = grid or standard
    for name, rows in _rows_of_shards(shards_dir):
        found = read_labels(labels_dir, name)
        if name not in listing:
            raise LabelMismatchError(f"the index names {name}, which is not listed; at {shards_dir}")
        if found.header.shard_sha256 != (expected := listing[name].sha256):
            raise LabelMismatchError(
                f"labels of a shard with sha256 {found.header.shard_sha256}, expected {expected}; "
                f"at {shards_dir / name}, {labels_dir}"
            )
        if (other := found.header.grid or standard) != frames:
            raise LabelMismatchError(f"labels for {other}, the network makes {frames}; at {labels_dir}")
        yield found.header, _order_labels(found, rows["key"].to_pylist(), rows["samples"].to_numpy(), frames)


def _rows_of_shards(shards_dir: Path) -> Iterator[tuple[str, pa.Table]]:
    """Each shard with the keys and lengths of its utterances. Of the index only some rows are in memory."""
    last, waiting = "", list[pa.RecordBatch]()
    for batch in stream_columns(shards_dir, ["key", "samples", "shard"], dictionaries=["shard"]):
        if not len(batch):
            continue
        names, codes = batch["shard"].dictionary.to_pylist(), to_numbers(batch["shard"].indices)
        bounds = np.flatnonzero(codes[1:] != codes[:-1]) + 1
        for begin, end in pairwise([0, *bounds.tolist(), len(codes)]):
            name = names[codes[begin]]
            if waiting and name != last:
                yield last, pa.Table.from_batches(waiting)
                waiting = []
            last = name
            waiting.append(batch.select(["key", "samples"]).slice(begin, end - begin))
    if waiting:
        yield last, pa.Table.from_batches(waiting)


def _order_labels(shard: ShardLabels, keys: Sequence[str], num_samples: Integers, grid: FrameGrid) -> list[Labels]:
    """The labels of each of these utterances, one per network frame."""
    by_key = shard.by_key
    if unknown := sorted(set(keys) ^ set(by_key)):
        raise LabelMismatchError(
            f"{len(by_key)} utterances have labels, {len(keys)} are in the index; at {', '.join(unknown[:5])}"
        )
    rate_hz = shard.header.label_rate_hz
    for key, expected in zip(keys, num_labels(num_samples, rate_hz, grid), strict=True):
        if (found := len(by_key[key])) != expected:
            raise LabelMismatchError(f"{found} labels, expected {expected} at {rate_hz:g} Hz; at utterance {key}")
    return [np.ascontiguousarray(by_key[key][:: shard.header.labels_per_frame]) for key in keys]
