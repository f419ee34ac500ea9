"""Where the utterances of a drawing lie, and the parts in which they are read: shard by shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from wavlm.labels.quotas import Integers
from wavlm.labels.sampling import Drawing
from wavlm.shards import take_rows
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.storage.arrow import from_numbers
from wavlm.storage.parquet import lean_memory

COLUMNS = ("key", "shard", "offset", "size", "samples")
PART_SECONDS = 3600  # of audio that a part decodes, at least, if there is so much


@dataclass(frozen=True, eq=False)
class Cells:
    """What the indexes say of the utterances of a drawing, in its order: one table, and the corpus of each row."""

    table: pa.Table  # the columns `COLUMNS`
    folders: Integers


def read_cells(shards_dirs: Sequence[Path], drawing: Drawing) -> Cells:
    """Where the utterances of a drawing lie."""
    tables, places = [], []
    with lean_memory():
        for number, shards_dir in enumerate(shards_dirs):
            here = np.flatnonzero(drawing.folders == number)
            if len(here):
                tables.append(take_rows(shards_dir, COLUMNS, drawing.rows[here]))
                places.append(here)
    if not tables:
        return Cells(pa.table({name: [] for name in COLUMNS}), drawing.folders)
    back = np.argsort(np.concatenate(places))
    return Cells(pa.concat_tables(tables).take(from_numbers(back)), drawing.folders)


def cut_parts(cells: Cells) -> list[Integers]:
    """Places in the drawing, in the order of corpora, shards and offsets: whole shards of `PART_SECONDS` together."""
    shards = cells.table["shard"].combine_chunks().dictionary_encode()
    names = np.argsort(np.argsort(shards.dictionary.to_pylist()))
    shard = names[shards.indices.to_numpy()]
    order = np.lexsort((cells.table["offset"].to_numpy(), shard, cells.folders))
    ends = np.cumsum(cells.table["samples"].to_numpy()[order])
    at = np.stack([cells.folders[order], shard[order]])
    is_last = np.concatenate([(at[:, 1:] != at[:, :-1]).any(axis=0), [True]])  # of its shard
    edges, reached = [0], 0
    for end in np.flatnonzero(is_last).tolist():
        if ends[end] - reached >= PART_SECONDS * SAMPLE_RATE_HZ or end == len(order) - 1:
            edges.append(end + 1)
            reached = ends[end]
    return [order[start:stop] for start, stop in pairwise(edges)]
