"""How often each label occurs in the files of a labels folder: counted in parts, and added up.

Legend: C streams, K clusters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wavlm.execution.parts import run_parts
from wavlm.execution.progress import no_progress
from wavlm.labels.files import JoinedLabels, label_file, read_joined
from wavlm.storage.files import sha256_of

FILES_PER_PART = 64  # half a second to some seconds of work
PARTS_PER_WORKER = 8  # a process takes some seconds to start


@dataclass(frozen=True)
class TallyPart:
    """Files of labels to count, named by their shards."""

    labels_dir: Path
    shards: tuple[str, ...]
    num_clusters: int
    num_streams: int = 1

    def __str__(self) -> str:
        return f"counts of {len(self.shards)} files of labels from {self.shards[0]} on"


@dataclass(frozen=True, eq=False)
class LabelTally:
    """What some files of labels hold."""

    histogram: npt.NDArray[np.int64]  # (C, K)
    num_utterances: int
    num_repeated: int  # frames with the labels of the frame before, in the same utterance
    num_pairs: int  # frames that have one before
    sha256s: Mapping[str, str]  # of the files, by shard


def tally_files(
    labels_dir: Path, shards: Sequence[str], num_clusters: int, workers: int, num_streams: int = 1
) -> LabelTally:
    """What the files of labels of some shards hold, which are named by their tars."""
    starts = range(0, len(shards), FILES_PER_PART)
    parts = [TallyPart(labels_dir, tuple(shards[at : at + FILES_PER_PART]), num_clusters, num_streams) for at in starts]
    tallies = run_parts(parts, count_files, min(workers, len(parts) // PARTS_PER_WORKER), no_progress)
    return add_tallies(tallies, num_clusters, num_streams)


def count_files(part: TallyPart) -> LabelTally:
    """Read some files of labels once. Raises what `wavlm.labels.files.read_labels` raises."""
    tallies = (
        LabelTally(
            *_count(read_joined(part.labels_dir, shard), part.num_clusters),
            {shard: sha256_of(label_file(part.labels_dir, shard))},
        )
        for shard in part.shards
    )
    return add_tallies(tallies, part.num_clusters, part.num_streams)


def add_tallies(tallies: Iterable[LabelTally], num_clusters: int, num_streams: int = 1) -> LabelTally:
    """The sum of what some parts hold, in their order."""
    every = list(tallies)
    return LabelTally(
        histogram=np.sum([np.zeros((num_streams, num_clusters), np.int64), *(one.histogram for one in every)], axis=0),
        num_utterances=sum(one.num_utterances for one in every),
        num_repeated=sum(one.num_repeated for one in every),
        num_pairs=sum(one.num_pairs for one in every),
        sha256s={shard: digest for one in every for shard, digest in one.sha256s.items()},
    )


def _count(labels: JoinedLabels, num_clusters: int) -> tuple[npt.NDArray[np.int64], int, int, int]:
    values, lengths = labels.values, np.diff(labels.bounds)
    streams = values.reshape(len(values), -1)  # (frames, C)
    is_repeated = (streams[1:] == streams[:-1]).all(axis=1)
    # The first label of an utterance has none before it, whatever the utterance before it ends with.
    starts = labels.bounds[:-1][(lengths > 0) & (labels.bounds[:-1] > 0)]
    is_repeated[starts - 1] = False
    return (
        np.stack([np.bincount(stream, minlength=num_clusters) for stream in streams.T]).astype(np.int64),
        len(lengths),
        int(is_repeated.sum()),
        int(np.maximum(lengths - 1, 0).sum()),
    )
