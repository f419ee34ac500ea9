"""Labels that others made: read from a file and checked, kept sorted by key, and found again by key.

The codebook folder of such labels holds `labels.parquet`, which has the columns `key` and `labels` of a label file, and
`codebook.json`.

Legend: F frames of an utterance, C streams. With one stream labels are (F,), with several (F, C).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from wavlm.errors import BadDataError
from wavlm.labels.centroids import count_fit
from wavlm.labels.facts import OF_GRIDS, CodebookFacts, codebook_path
from wavlm.labels.files import Labels, first_stream
from wavlm.labels.keyed import ADVICE, KeyedLabels, read_batches, refuse_file, rows_of, sort_by_key, write_keyed
from wavlm.specs import ExternalLabelsSpec
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid, labels_per_frame, num_labels
from wavlm.storage.files import sha256_of, write_json
from wavlm.storage.parquet import lean_memory
from wavlm.storage.seals import check_sealed

LABELS_FILE = "labels.parquet"
KEPT_GROUPS = 8


def take_labels_of_others(spec: ExternalLabelsSpec, out: Path, grid: FrameGrid | None = None) -> CodebookFacts:
    """Check the file of a spec and write its labels into `out`, with `codebook.json`; return the facts.

    They are sorted in parts, so of any amount of labels some hundred megabytes are in memory.
    Raises BadDataError (EXTERNAL_FILE) if it is missing, another one, or of another form, and EXTERNAL_RANGE, naming
    the utterance, for labels that are no classes.
    """
    path = Path(spec.file)
    found = sha256_of(path) if path.is_file() else "no file"
    if found != spec.sha256:
        raise refuse_file(f"found {found}, expected sha256 {spec.sha256}", path)
    try:
        labels_per_frame(spec.rate_hz, grid or PAPER_FRAMES)
    except ValueError as error:
        raise refuse_file(f"found {error}", path) from error
    tally = _Tally(path, np.zeros(spec.num_clusters, np.int64))
    with lean_memory(), TemporaryDirectory(prefix=".runs-", suffix=".partial", dir=out) as runs:
        ordered = sort_by_key(_read_file(spec, path), spec.num_streams, Path(runs))
        write_keyed(tally.watch(ordered), out / LABELS_FILE)
    if not tally.utterances:
        raise refuse_file("found no labels", path)
    facts = CodebookFacts(
        type=spec.type,
        num_streams=spec.num_streams,
        features=None,
        num_clusters=spec.num_clusters,
        num_channels=0,
        label_rate_hz=spec.rate_hz,
        grid=grid,
        sample_utterances=tally.utterances,
        sample_speakers=0,
        inertia_per_iteration=(),
        train=count_fit(tally.counts, 0.0),
        valid=None,
        sha256=sha256_of(out / LABELS_FILE),
    )
    write_json(codebook_path(out), facts.model_dump(mode="json", exclude=set(OF_GRIDS) if grid is None else None))
    return facts


@dataclass
class _Tally:
    """How often each class occurs in the first stream of labels that pass by, sorted by key."""

    path: Path
    counts: npt.NDArray[np.int64]  # (K,)
    utterances: int = 0

    def watch(self, rows: Iterable[KeyedLabels]) -> Iterator[KeyedLabels]:
        """The same rows; raises BadDataError (EXTERNAL_FILE) for a key that comes twice."""
        last: str | None = None
        for key, labels in rows:
            if key == last:
                raise refuse_file(f"found the key {key} twice", self.path)
            last = key
            self.utterances += 1
            self.counts += np.bincount(first_stream(labels), minlength=len(self.counts))
            yield key, labels


class ExternalLabels:
    """The labels of a codebook folder, by key. Only some of them are in memory."""

    def __init__(self, codebook_dir: Path, facts: CodebookFacts, grid: FrameGrid = PAPER_FRAMES) -> None:
        """grid: the frames of the network that is to learn the labels."""
        self._path = codebook_dir / LABELS_FILE
        check_sealed(self._path)
        self._facts, self._grid = facts, grid
        self._file = pq.ParquetFile(self._path, page_checksum_verification=True)
        groups = range(self._file.metadata.num_row_groups)
        self._last_keys = [self._file.metadata.row_group(group).column(0).statistics.max for group in groups]
        self._kept: OrderedDict[int, Mapping[str, Labels]] = OrderedDict()

    def of(self, key: str, num_samples: int) -> Labels:
        """The labels of an utterance of so many samples.

        Raises BadDataError: EXTERNAL_KEY if there are none, EXTERNAL_LENGTH if there are not as many as frames.
        """
        number = bisect_left(self._last_keys, key)
        labels = self._group(number).get(key) if number < len(self._last_keys) else None
        if labels is None:
            raise BadDataError(
                "EXTERNAL_KEY",
                f"no labels for an utterance, expected some for each of the corpus; at utterance {key}, {self._path}; "
                f"{ADVICE}, or leave the corpus out",
            )
        expected = int(num_labels(num_samples, self._facts.label_rate_hz, self._grid))
        if len(labels) != expected:
            raise BadDataError(
                "EXTERNAL_LENGTH",
                f"{len(labels)} labels, expected {expected}: one per window of {self._grid.window_samples} samples at "
                f"{self._facts.label_rate_hz:g} Hz in {num_samples} samples; at utterance {key} of {self._path}; "
                f"{ADVICE}",
            )
        return labels

    def _group(self, number: int) -> Mapping[str, Labels]:
        if number not in self._kept:
            batches = self._file.read_row_group(number).to_batches()
            self._kept[number] = dict(rows_of(batches, self._facts.num_streams, self._path))
            if len(self._kept) > KEPT_GROUPS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(number)
        return self._kept[number]


def _read_file(spec: ExternalLabelsSpec, path: Path) -> Iterator[KeyedLabels]:
    """Keys and labels of a file, in its order."""
    for key, values in _read_npz(path) if path.suffix == ".npz" else _read_parquet(path, spec.num_streams):
        expected = 1 if spec.num_streams == 1 else 2
        if values.ndim != expected or (expected == 2 and values.shape[1] != spec.num_streams):
            shape = "(F,)" if expected == 1 else f"(F, {spec.num_streams})"
            raise refuse_file(f"found labels of shape {values.shape}, expected {shape}; at utterance {key}", path)
        if not np.issubdtype(values.dtype, np.integer):
            raise refuse_file(f"found labels of type {values.dtype}, expected integers; at utterance {key}", path)
        if values.size and not 0 <= int(values.min()) <= int(values.max()) < spec.num_clusters:
            raise BadDataError(
                "EXTERNAL_RANGE",
                f"labels from {values.min()} to {values.max()}, expected 0 to {spec.num_clusters - 1}; at utterance "
                f"{key} of {path}; {ADVICE}, or raise num_clusters",
            )
        yield key, values.astype(np.uint16)


def _read_npz(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for key in arrays.files:
                yield key, arrays[key]
    except (OSError, ValueError, BadZipFile) as error:
        raise refuse_file(f"this is no npz file of arrays: {error}", path) from error


def _read_parquet(path: Path, num_streams: int) -> Iterator[tuple[str, np.ndarray]]:
    try:
        yield from rows_of(read_batches(path), num_streams, path)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise refuse_file(f"this is no Parquet file with columns key and labels: {error}", path) from error
