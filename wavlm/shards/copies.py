"""Copies of held-out speech: utterances of the train split whose audio is in a valid split, of any corpus.

Training, the sample of a codebook and every other use of the train split leave them out. Otherwise validation would
measure speech that was trained on. An utterance is a copy if its FLAC is that of a valid one, or if one of its pieces
shares samples with a valid one: another region of a file, or clips that were joined or cut in another way.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wavlm.shards.index import read_columns, stream_columns

Mask = npt.NDArray[np.bool_]

MEAN = 0  # the channel that shares audio with every other one
EVERY = -1  # stands for all channels together


def find_copies_of_valid(shards_dirs: Sequence[Path]) -> tuple[Mask, ...]:
    """For each folder, which rows of its index are in train and share audio with a valid row of any folder.

    The large columns are read in batches: 10 million utterances take about 5 s of CPU and 0.3 GB.
    Raises BadDataError if an index is missing or damaged.
    """
    valid = [read_columns(folder, ["sha256", "origins"], "valid") for folder in shards_dirs]
    sha256s = pc.unique(_join([table["sha256"] for table in valid], pa.string()))
    held = _Held([table["origins"] for table in valid])
    return tuple(_mask(folder, sha256s, held) for folder in shards_dirs)


def _join(columns: Sequence[pa.ChunkedArray], kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks], type=kind)


class _Held:
    """What is held out: spans of samples, by file and channel."""

    def __init__(self, columns: Sequence[pa.ChunkedArray]) -> None:
        spans: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for column in columns:
            for chunk in column.chunks:
                for file, channel, start, stop in zip(*_fields(pc.list_flatten(chunk)), strict=True):
                    for lane in (channel, EVERY):
                        spans[file, lane].append((start, stop))
        self._spans = {place: _merge(found) for place, found in spans.items()}
        self._files = pa.array(sorted({file for file, _ in self._spans}), pa.uint64())

    def find(self, origins: pa.ListArray) -> Mask:
        """Which of some utterances, given by their origins, share samples with what is held out."""
        mask = np.zeros(len(origins), np.bool_)
        rows, flat = pc.list_parent_indices(origins), pc.list_flatten(origins)
        near = pc.is_in(pc.struct_field(flat, "file"), value_set=self._files)
        for row, *origin in zip(rows.filter(near).to_pylist(), *_fields(flat.filter(near)), strict=True):
            mask[row] |= self._meets(*origin)
        return mask

    def _meets(self, file: int, channel: int, start: int, stop: int) -> bool:
        lanes = (EVERY,) if channel == MEAN else (channel, MEAN)
        for spans in (self._spans.get((file, lane), []) for lane in lanes):
            before = bisect_left(spans, (stop,)) - 1  # the last span that begins before the end
            if before >= 0 and spans[before][1] > start:
                return True
        return False


def _fields(origins: pa.StructArray) -> list[list[int]]:
    return [pc.struct_field(origins, name).to_pylist() for name in ("file", "channel", "start", "stop")]


def _merge(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that overlap or touch become one. In order."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], stop)
        else:
            merged.append((start, stop))
    return merged


def _mask(folder: Path, sha256s: pa.Array, held: _Held) -> Mask:
    parts = [np.zeros(0, np.bool_)]
    for _, batch in stream_columns(folder, ["split", "sha256", "origins"]):
        is_train = pc.equal(batch["split"], "train").to_numpy(zero_copy_only=False)
        is_copy = pc.is_in(batch["sha256"], value_set=sha256s).to_numpy(zero_copy_only=False)
        parts.append((is_train & (is_copy | held.find(batch["origins"]))).astype(np.bool_))
    return np.concatenate(parts)
