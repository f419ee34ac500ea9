"""From the speakers of blocks to the turns of a recording.

Heads with embeddings: speakers of all blocks are clustered, two of one block never into one (Kinoshita et al. 2021).
Others: neighbouring blocks overlap, and their speakers are matched by the frames in which both find them active.

Legend: A activity frames of a block, K speakers of a block, E width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from wavlm.evaluation.heads.apart import Integers, cluster_apart
from wavlm.evaluation.heads.block import BlockOutput, Numbers
from wavlm.evaluation.metrics.diarization import Turn
from wavlm.evaluation.tasks.activity import Bools, frames_to_turns, smooth
from wavlm.specs import SAMPLE_RATE_HZ

LONG_S = 30.0  # the blocks of EEND-vector clustering: in longer ones a speaker need not speak longer
LEAST_COMMON = 0.5  # of the frames in which one of two is active; below it they are two speakers


@dataclass(frozen=True)
class PlacedBlock:
    """The speakers of a block, where the block begins, and which of its frames count."""

    output: BlockOutput
    at: int  # frame of the recording
    first: int  # frame of the block: the ones before it are the last block's
    last: int


@dataclass(frozen=True)
class Stitching:
    """How turns are made. The defaults are those of EEND-vector clustering on CALLHOME."""

    threshold: float = 0.5  # a speaker speaks in frames with a higher probability
    median: int = 11  # frames of the median filter; odd
    least_activity: float = 0.05  # times the block, or LONG_S of a longer one: who speaks less is none of it
    farthest: float = 1.0  # mean distance up to which clusters are joined
    speakers: int | None = None  # how many there are, if that is known


def stitch(blocks: Sequence[PlacedBlock], num_frames: int, hop_samples: int, settings: Stitching) -> list[Turn]:
    """The turns, in order of time; speakers are named from 1 on, in the order in which blocks have them."""
    long_frames = LONG_S * SAMPLE_RATE_HZ / hop_samples
    kept = [np.flatnonzero(_means(it, long_frames) >= settings.least_activity) for it in blocks]
    has_embeddings = all(it.output.embeddings is not None for it in blocks)
    labels = _cluster(blocks, kept, settings) if has_embeddings else _match(blocks, kept, settings)
    count = 1 + max((int(it.max(initial=-1)) for it in labels), default=-1)
    turns: list[Turn] = []
    for speaker in range(count):  # one at a time: the whole of all speakers may not fit into memory
        active = np.zeros((num_frames, 1), dtype=np.bool_)
        for it, speakers, found in zip(blocks, kept, labels, strict=True):
            if (chosen := speakers[found == speaker]).size:
                loudest = it.output.activities[it.first : it.last, chosen].max(axis=1)
                active[it.at + it.first : it.at + it.last, 0] = loudest > settings.threshold
        for start_s, end_s, _ in frames_to_turns(smooth(active, settings.median), hop_samples):
            turns.append((start_s, end_s, str(speaker + 1)))
    return sorted(turns)


def _means(it: PlacedBlock, most_frames: float) -> Numbers:
    """The activity of each speaker over the frames of a block, or over so many if it has more: (K,)."""
    activities = it.output.activities
    found: Numbers = activities.sum(axis=0) / np.float32(max(1.0, min(len(activities), most_frames)))
    return found


def _cluster(blocks: Sequence[PlacedBlock], kept: Sequence[Integers], settings: Stitching) -> list[Integers]:
    """A label per kept speaker of each block, by embeddings."""
    rows = [_embeddings(it, speakers) for it, speakers in zip(blocks, kept, strict=True)]
    numbers = [number for number, found in enumerate(rows) for _ in found]
    if not numbers:
        return [np.zeros(0, np.int64) for _ in blocks]
    together = np.concatenate([found for found in rows if len(found)]).astype(np.float64)
    labels = cluster_apart(together, numbers, settings.farthest, settings.speakers)
    return [labels[np.array(numbers) == number] for number in range(len(rows))]


def _embeddings(it: PlacedBlock, speakers: Integers) -> Numbers:
    assert it.output.embeddings is not None  # noqa: S101 - by its caller
    return it.output.embeddings[speakers]


def _match(blocks: Sequence[PlacedBlock], kept: Sequence[Integers], settings: Stitching) -> list[Integers]:
    """A label per kept speaker of each block, by what it has in common with the block before."""
    labels: list[Integers] = []
    count = 0
    for number, (it, speakers) in enumerate(zip(blocks, kept, strict=True)):
        found = np.full(len(speakers), -1, dtype=np.int64)
        if number:
            before = blocks[number - 1]
            pairs = _common(before, kept[number - 1], it, speakers, settings.threshold)
            for left, right in pairs:
                found[right] = labels[-1][left]
        for row in np.flatnonzero(found < 0):
            found[row] = count
            count += 1
        labels.append(found)
    return labels


def _common(
    before: PlacedBlock, of_before: Integers, it: PlacedBlock, speakers: Integers, threshold: float
) -> Iterator[tuple[int, int]]:
    """Pairs of speakers of two blocks that are one, by the frames that both blocks have."""
    length = before.at + len(before.output.activities) - it.at
    if length <= 0 or not of_before.size or not speakers.size:
        return
    left: Bools = before.output.activities[len(before.output.activities) - length :, of_before] > threshold
    right: Bools = it.output.activities[:length, speakers] > threshold
    both = left.T.astype(np.int64) @ right.astype(np.int64)
    either = left.sum(axis=0)[:, None] + right.sum(axis=0)[None] - both
    shares = both / np.maximum(either, 1)
    for row, column in zip(*linear_sum_assignment(shares, maximize=True), strict=True):
        if shares[row, column] >= LEAST_COMMON:
            yield int(row), int(column)
