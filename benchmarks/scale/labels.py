"""What the stage labels does at its end: it reads all labels once more and counts. 12 s per utterance at 50 Hz."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.scale import Row, Spent, cost_of, in_sizes

SIZE = 200_000
PER_SHARD = 2000
NUM_CLUSTERS = 500
FRAMES = 600
KNOWN = {"MB": ("", ""), "CPU s": ("5.0 CPU s (25 per million, one process)", "in parts")}


def measure(size: int | None = None) -> list[Row]:
    """Peak memory and CPU time of counting the labels of so many utterances in one process."""
    return in_sizes("labels, counting at the end", measure_once, size or SIZE, KNOWN)


def measure_once(size: int) -> Spent:
    """What counting costs. The files are made by another process, and not counted."""
    with TemporaryDirectory() as name:
        cost_of(write_fakes, Path(name), size)
        return cost_of(count, Path(name))


def write_fakes(folder: Path, size: int) -> None:
    """Files of labels in runs, as those of speech."""
    from wavlm.labels.files import Header, write_labels

    header = Header("0" * 64, "1" * 64, '{"type": "hidden", "layer": 9}', 50, NUM_CLUSTERS)
    for number, first in enumerate(range(0, size, PER_SHARD)):
        count = min(PER_SHARD, size - first)
        rng = np.random.default_rng(number)
        labels = np.repeat(rng.integers(0, NUM_CLUSTERS, count * FRAMES // 2), 2).astype(np.uint16)
        keys = [f"utterance-{first + at:09d}" for at in range(count)]
        write_labels(folder / f"train-{number:06d}.parquet", keys, np.split(labels, count), header)


def count(folder: Path) -> int:
    """The number of utterances that are counted."""
    from wavlm.labels.tally import tally_files

    shards = [f"{path.stem}.tar" for path in sorted(folder.glob("*.parquet"))]
    return tally_files(folder, shards, NUM_CLUSTERS, 1).num_utterances
