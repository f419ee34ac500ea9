"""Who speaks in which frame: from turns to frames and back, and a quick error rate of frames.

Legend: F frames, S speakers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from wavlm.evaluation.metrics.diarization import Region, Turn
from wavlm.specs import SAMPLE_RATE_HZ

Bools = npt.NDArray[np.bool_]


def turns_to_frames(turns: Sequence[Turn], num_speakers: int, num_frames: int, hop_samples: int) -> Bools:
    """Whether each speaker speaks in each frame, (F, S), speakers in the order of their names.

    A turn begins and ends at the nearest frame, as in the reference (s3prl, downstream/diarization/dataset.py).
    """
    names = sorted({name for *_, name in turns})
    active = np.zeros((num_frames, num_speakers), dtype=np.bool_)
    for start_s, end_s, name in turns:
        first, last = (round(second * SAMPLE_RATE_HZ / hop_samples) for second in (start_s, end_s))
        active[first:last, names.index(name)] = True
    return active


def frames_to_turns(active: Bools, hop_samples: int) -> list[Turn]:
    """The turns of frames (F, S); speakers are named by their numbers."""
    turns: list[Turn] = []
    for number, column in enumerate(active.T, 1):
        changes = np.flatnonzero(np.diff(column.astype(np.int8), prepend=0, append=0))
        for first, last in zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True):
            turns.append((first * hop_samples / SAMPLE_RATE_HZ, last * hop_samples / SAMPLE_RATE_HZ, str(number)))
    return turns


def smooth(active: Bools, width: int) -> Bools:
    """The median over so many frames (odd) around each, with nobody beyond the edges: (F, S) to (F, S)."""
    half = width // 2
    counts = np.cumsum(np.pad(active.astype(np.int64), ((half + 1, half), (0, 0))), axis=0)
    found: Bools = counts[width:] - counts[:-width] > half
    return found


def frame_errors(reference: Bools, found: Bools) -> tuple[int, int]:
    """Errors and all frames of speech, each frame counted once per speaker: the parts of a DER without a collar.

    reference (F, R), found (F, S), in the best order of speakers.
    """
    width = max(reference.shape[1], found.shape[1])
    left, right = (np.pad(item, ((0, 0), (0, width - item.shape[1]))) for item in (reference, found))
    together = left.T.astype(np.int64) @ right.astype(np.int64)  # frames in which both speak
    most = together[linear_sum_assignment(together, maximize=True)].sum()
    each = np.maximum(left.sum(axis=1), right.sum(axis=1)).sum()
    return int(each - most), int(left.sum())


def overlapped(turns: Sequence[Turn]) -> list[Region]:
    """The stretches in which two or more speak."""
    return _regions(turns, 2)


def spoken(turns: Sequence[Turn]) -> list[Region]:
    """The stretches in which somebody speaks."""
    return _regions(turns, 1)


def _regions(turns: Sequence[Turn], fewest: int) -> list[Region]:
    edges = sorted([(start_s, 1) for start_s, _, _ in turns] + [(end_s, -1) for _, end_s, _ in turns])
    found: list[Region] = []
    count, begun = 0, 0.0
    for second, change in edges:
        if count < fewest <= count + change:
            begun = second
        elif count >= fewest > count + change and second > begun:
            found.append((begun, second))
        count += change
    return found


def meet(left: Sequence[Region], right: Sequence[Region]) -> list[Region]:
    """The stretches that lie in both lists."""
    found = [(max(a, c), min(b, d)) for a, b in left for c, d in right]
    return sorted((start_s, end_s) for start_s, end_s in found if end_s > start_s)
