"""Labels that others made: read from a file and checked, kept sorted by key, and found again by key.

The codebook folder of such labels holds `labels.parquet`, which has the columns `key` and `labels` of a label file, and
`codebook.json`.

Legend: F frames of an utterance, C streams. With one stream labels are (F,), with several (F, C).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wavlm.errors import BadDataError
from wavlm.labels.centroids import count_fit
from wavlm.labels.facts import CodebookFacts, codebook_path
from wavlm.labels.files import SCHEMA, Labels, first_stream
from wavlm.specs import SAMPLE_RATE_HZ, ExternalLabelsSpec
from wavlm.specs.shapes import num_labels
from wavlm.storage.files import atomic_path, sha256_of, write_json
from wavlm.storage.seals import check_sealed

LABELS_FILE = "labels.parquet"
ROWS = 1024  # utterances that are read together: some megabytes
KEPT_GROUPS = 8
ADVICE = "correct the file and its sha256 in the recipe"


def take_labels_of_others(spec: ExternalLabelsSpec, out: Path) -> CodebookFacts:
    """Check the file of a spec and write its labels into `out`, with `codebook.json`; return the facts.

    The labels of all utterances are in memory once.
    Raises BadDataError (EXTERNAL_FILE) if it is missing, another one, or of another form, and EXTERNAL_RANGE, naming
    the utterance, for labels that are no classes.
    """
    path = Path(spec.file)
    found = sha256_of(path) if path.is_file() else "no file"
    if found != spec.sha256:
        raise _refuse(f"found {found}, expected sha256 {spec.sha256}", path)
    by_key = dict(sorted(_read_file(spec, path)))
    if not by_key:
        raise _refuse("found no labels", path)
    _write(by_key, out / LABELS_FILE)
    counts = sum(
        np.bincount(first_stream(labels), minlength=spec.num_clusters).astype(np.int64) for labels in by_key.values()
    )
    facts = CodebookFacts(
        type=spec.type,
        num_streams=spec.num_streams,
        features=None,
        num_clusters=spec.num_clusters,
        num_channels=0,
        label_rate_hz=spec.rate_hz,
        sample_utterances=len(by_key),
        sample_speakers=0,
        inertia_per_iteration=(),
        train=count_fit(np.asarray(counts), 0.0),
        valid=None,
        sha256=sha256_of(out / LABELS_FILE),
    )
    write_json(codebook_path(out), facts.model_dump(mode="json"))
    return facts


class ExternalLabels:
    """The labels of a codebook folder, by key. Only some of them are in memory."""

    def __init__(self, codebook_dir: Path, facts: CodebookFacts, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        """sample_rate_hz: of the utterances."""
        self._path = codebook_dir / LABELS_FILE
        check_sealed(self._path)
        self._facts, self._sample_rate_hz = facts, sample_rate_hz
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
        expected = int(num_labels(num_samples, self._facts.label_rate_hz, self._sample_rate_hz))
        if len(labels) != expected:
            raise BadDataError(
                "EXTERNAL_LENGTH",
                f"{len(labels)} labels, expected {expected}: one per window of 25 ms at {self._facts.label_rate_hz} Hz "
                f"in {num_samples} samples; at utterance {key} of {self._path}; {ADVICE}",
            )
        return labels

    def _group(self, number: int) -> Mapping[str, Labels]:
        if number not in self._kept:
            table = self._file.read_row_group(number)
            self._kept[number] = dict(_rows(table, self._facts.num_streams, self._path))
            if len(self._kept) > KEPT_GROUPS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(number)
        return self._kept[number]


def _read_file(spec: ExternalLabelsSpec, path: Path) -> Iterator[tuple[str, Labels]]:
    """Keys and labels of a file, in its order."""
    seen: set[str] = set()
    for key, values in _read_npz(path) if path.suffix == ".npz" else _read_parquet(path, spec.num_streams):
        if key in seen:
            raise _refuse(f"found the key {key} twice", path)
        seen.add(key)
        expected = 1 if spec.num_streams == 1 else 2
        if values.ndim != expected or (expected == 2 and values.shape[1] != spec.num_streams):
            shape = "(F,)" if expected == 1 else f"(F, {spec.num_streams})"
            raise _refuse(f"found labels of shape {values.shape}, expected {shape}; at utterance {key}", path)
        if not np.issubdtype(values.dtype, np.integer):
            raise _refuse(f"found labels of type {values.dtype}, expected integers; at utterance {key}", path)
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
        raise _refuse(f"this is no npz file of arrays: {error}", path) from error


def _read_parquet(path: Path, num_streams: int) -> Iterator[tuple[str, np.ndarray]]:
    try:
        table = pq.read_table(path, columns=list(SCHEMA.names))
        yield from _rows(table, num_streams, path)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise _refuse(f"this is no Parquet file with columns key and labels: {error}", path) from error


def _rows(table: pa.Table, num_streams: int, path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Keys and labels of a table, whose lists have the labels of one frame after those of another."""
    for batch in table.to_batches():
        keys, lists = batch["key"].to_pylist(), batch["labels"]
        is_list = pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)
        if not is_list or lists.null_count or batch["key"].null_count:
            raise _refuse(f"found {lists.type} with {lists.null_count} gaps, expected lists of integers", path)
        values, bounds = lists.values.to_numpy(zero_copy_only=False), lists.offsets.to_numpy()
        for key, begin, end in zip(keys, bounds[:-1], bounds[1:], strict=True):
            if (end - begin) % num_streams:
                raise _refuse(f"found {end - begin} labels, expected a multiple of {num_streams}; at {key}", path)
            row = values[begin:end]
            yield str(key), row if num_streams == 1 else row.reshape(-1, num_streams)


def _write(by_key: Mapping[str, Labels], path: Path) -> None:
    bounds = np.cumsum([0, *(item.size for item in by_key.values())])
    values = np.concatenate([item.ravel() for item in by_key.values()])
    labels = pa.LargeListArray.from_arrays(bounds, values).cast(SCHEMA.field("labels").type)
    with atomic_path(path) as temporary:
        pq.write_table(
            pa.table({"key": pa.array(by_key, pa.string()), "labels": labels}),
            temporary,
            compression="zstd",
            row_group_size=ROWS,
            use_dictionary=False,
            write_page_checksum=True,
        )


def _refuse(what: str, path: Path) -> BadDataError:
    return BadDataError("EXTERNAL_FILE", f"{what}; at {path}; {ADVICE}")
