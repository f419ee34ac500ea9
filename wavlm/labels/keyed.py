"""Labels of utterances by key, in the files of labels that others made: read, sorted with little memory, and written.

Legend: F frames of an utterance, C streams. With one stream labels are (F,), with several (F, C).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wavlm.errors import BadDataError
from wavlm.labels.files import SCHEMA, Labels
from wavlm.storage.files import atomic_path

ROWS = 1024  # utterances that are read together: some megabytes of one stream
RUN_GROUP_BYTES = 1_000_000  # of labels that are read together from a part
MOST_RUNS = 16  # parts that are open at once
RUN_BYTES = 64_000_000  # of labels that are sorted at once: 180 hours of one stream at 50 Hz
ADVICE = "correct the file and its sha256 in the recipe"

KeyedLabels = tuple[str, Labels]


def sort_by_key(
    rows: Iterable[KeyedLabels], num_streams: int, folder: Path, run_bytes: int = RUN_BYTES
) -> Iterator[KeyedLabels]:
    """Rows in the order of their keys. What is more than `run_bytes` is sorted in parts, some merged at a time.

    folder: for the parts; who calls removes it.
    """
    run: list[KeyedLabels] = []
    paths: list[Path] = []
    size = num_written = 0

    def write(part: Iterable[KeyedLabels]) -> None:
        nonlocal num_written
        paths.append(folder / f"{num_written:06d}.parquet")
        write_keyed(part, paths[-1], RUN_GROUP_BYTES)
        num_written += 1

    for row in rows:
        run.append(row)
        size += row[1].nbytes
        if size >= run_bytes:
            write(sorted(run, key=itemgetter(0)))
            run, size = [], 0
    while len(paths) > MOST_RUNS:
        first, paths = paths[:MOST_RUNS], paths[MOST_RUNS:]
        write(_merge(first, num_streams))
        for path in first:
            path.unlink()
    run.sort(key=itemgetter(0))
    return heapq.merge(_merge(paths, num_streams), run, key=itemgetter(0))


def _merge(paths: Iterable[Path], num_streams: int) -> Iterator[KeyedLabels]:
    return heapq.merge(*(rows_of(read_batches(path), num_streams, path) for path in paths), key=itemgetter(0))


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The rows of a file with the columns of labels, some at a time."""
    file = pq.ParquetFile(path)
    for group in range(file.metadata.num_row_groups):  # one reader of all groups keeps what it has read: 3 kB per row
        yield from file.iter_batches(ROWS, row_groups=[group], columns=list(SCHEMA.names))


def rows_of(batches: Iterable[pa.RecordBatch], num_streams: int, path: Path) -> Iterator[KeyedLabels]:
    """Keys and labels of batches, whose lists have the labels of one frame after those of another.

    Raises BadDataError (EXTERNAL_FILE) for lists of another form.
    """
    for batch in batches:
        keys, lists = batch["key"].to_pylist(), batch["labels"]
        is_list = pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)
        if not is_list or lists.null_count or batch["key"].null_count:
            raise refuse_file(f"found {lists.type} with {lists.null_count} gaps, expected lists of integers", path)
        values, bounds = lists.values.to_numpy(zero_copy_only=False), lists.offsets.to_numpy()
        for key, begin, end in zip(keys, bounds[:-1], bounds[1:], strict=True):
            if (end - begin) % num_streams:
                raise refuse_file(f"found {end - begin} labels, expected a multiple of {num_streams}; at {key}", path)
            row = values[begin:end]
            yield str(key), row if num_streams == 1 else row.reshape(-1, num_streams)


def write_keyed(rows: Iterable[KeyedLabels], path: Path, group_bytes: int | None = None) -> None:
    """Write rows in their order, some in memory at a time. The same rows give the same bytes.

    group_bytes: of labels that are written together at most; None: they are so many rows.
    """
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(
            temporary, SCHEMA, compression="zstd", use_dictionary=False, write_page_checksum=True
        ) as writer,
    ):
        for group in _grouped(rows, group_bytes):
            bounds = np.cumsum([0, *(labels.size for _, labels in group)])
            values = np.concatenate([labels.ravel() for _, labels in group])
            lists = pa.LargeListArray.from_arrays(bounds, values).cast(SCHEMA.field("labels").type)
            writer.write_table(pa.table({"key": pa.array([key for key, _ in group], pa.string()), "labels": lists}))


def _grouped(rows: Iterable[KeyedLabels], most_bytes: int | None) -> Iterator[list[KeyedLabels]]:
    found: list[KeyedLabels] = []
    size = 0
    for row in rows:
        found.append(row)
        size += row[1].nbytes
        if len(found) == ROWS or (most_bytes is not None and size >= most_bytes):
            yield found
            found, size = [], 0
    if found:
        yield found


def refuse_file(what: str, path: Path) -> BadDataError:
    """The error for a file of labels that has another form than it should."""
    return BadDataError("EXTERNAL_FILE", f"{what}; at {path}; {ADVICE}")
