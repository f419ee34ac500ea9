"""Put the rows of a long table into another order, group by group, with little memory: by way of files beside it.

The rows are spread over runs of groups first. Then each run is put in order in memory. So every row is read twice and
written twice, in whatever order they are wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wavlm.storage.batches import READING, WRITING, write_batches

RUN_ROWS = 1 << 15  # that are put in order in memory, or more so that there are at most `MOST_RUNS` files
MOST_RUNS = 256

Rows = npt.NDArray[np.int32]


def rearrange(batches: Iterable[pa.RecordBatch], schema: pa.Schema, groups: Sequence[Rows], path: Path) -> None:
    """Write a file with a batch per group: the rows of the table with its numbers, in its order.

    `batches`: the table, from its first row on. No row is in two groups.
    """
    schema = schema.remove_metadata()
    runs = list(_cut_runs(groups))
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", suffix=".partial") as scratch:
        spill = [Path(scratch) / f"{number}.arrow" for number in range(len(runs))]
        _spread(batches, schema, _places_of(groups, runs), spill)
        ordered = (
            group
            for run, place in zip(runs, spill, strict=True)
            for group in _in_order(groups[run.start : run.stop], place)
        )
        write_batches(path, schema, ordered)


def _cut_runs(groups: Sequence[Rows]) -> Iterator[range]:
    """Numbers of consecutive groups of `RUN_ROWS` rows together, or of one that has more."""
    most = max(RUN_ROWS, 2 * sum(map(len, groups)) // MOST_RUNS)
    first = size = 0
    for number, group in enumerate(groups):
        if size and size + len(group) > most:
            yield range(first, number)
            first, size = number, 0
        size += len(group)
    if groups:
        yield range(first, len(groups))


def _places_of(groups: Sequence[Rows], runs: Sequence[range]) -> Rows:
    """The run of each row of the table, (rows,); -1: in none."""
    last = max((int(group.max()) for group in groups), default=-1)
    run_of = np.full(last + 1, -1, np.int32)
    for number, run in enumerate(runs):
        for group in groups[run.start : run.stop]:
            run_of[group] = number
    return run_of


def _spread(batches: Iterable[pa.RecordBatch], schema: pa.Schema, run_of: Rows, spill: Sequence[Path]) -> None:
    """Write each row to the file of its run, with its number."""
    numbered = schema.append(pa.field("row", pa.int32()))
    with ExitStack() as stack:
        writers = [stack.enter_context(pa.ipc.new_stream(place, numbered, options=WRITING)) for place in spill]
        first = 0
        for batch in batches:
            runs = run_of[first : first + len(batch)]
            numbers = pa.array(np.arange(first, first + len(batch), dtype=np.int32))
            whole = pa.RecordBatch.from_arrays([*batch.columns, numbers], schema=numbered)
            for run in np.unique(runs[runs >= 0]).tolist():
                writers[run].write_batch(whole.take(pa.array(np.flatnonzero(runs == run))))
            first += len(batch)


def _in_order(groups: Sequence[Rows], place: Path) -> Iterator[pa.RecordBatch]:
    """The rows of the groups of one run."""
    with _open_stream(place) as reader:
        table = reader.read_all().combine_chunks()
    place.unlink()
    numbers = table["row"].to_numpy()
    order = np.argsort(numbers)
    table = table.drop_columns("row")
    for group in groups:
        at = order[np.searchsorted(numbers, group, sorter=order)]
        yield table.take(pa.array(at)).combine_chunks().to_batches()[0]


@contextmanager
def _open_stream(place: Path) -> Iterator[pa.RecordBatchStreamReader]:
    with pa.memory_map(str(place)) as source, pa.ipc.open_stream(source, options=READING) as reader:
        yield reader
