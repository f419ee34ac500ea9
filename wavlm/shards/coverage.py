"""How much of the files is in no region, and how much is in several: the regions of a file may lie in several parts.

`samples` of an account counts each region alone. With S samples of files, counted once per channel of which there is a
region, it holds: S = samples in regions + samples in no region - samples in a region beside the first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Spans = npt.NDArray[np.int64]  # (spans, 2): the first sample, and the one behind the last


@dataclass(frozen=True)
class Covered:
    """The regions of a file that are in a part."""

    path: str  # of the file, as the manifest spells it
    samples: int  # of the file per channel, at 16 kHz
    num_channels: int  # of the file
    spans: tuple[tuple[int, int, int], ...]  # channel, first sample, and the one behind the last


class Coverage(NamedTuple):
    """Samples at 16 kHz, over the channels of which there is a region."""

    outside: int  # in no region
    repeated: int  # in a region beside the first one


def measure_coverage(files: Iterable[Covered]) -> Coverage:
    """What is in no region and in several. Raises RuntimeError for a file that has two lengths."""
    samples: dict[str, int] = {}
    spans: dict[tuple[str, int], list[Spans]] = defaultdict(list)
    for file in files:
        if samples.setdefault(file.path, file.samples) != file.samples:
            raise RuntimeError(f"{file.path} has {file.samples} samples in one part, {samples[file.path]} in another")
        found = np.array(file.spans, np.int64).reshape(-1, 3)
        for channel in np.unique(found[:, 0]).tolist():
            spans[file.path, channel].append(found[found[:, 0] == channel, 1:])
    whole = sum(samples[path] for path, _ in spans)
    inside = sum(_length_of_union(np.concatenate(parts)) for parts in spans.values())
    listed = sum(int((part[:, 1] - part[:, 0]).sum()) for parts in spans.values() for part in parts)
    return Coverage(outside=whole - inside, repeated=listed - inside)


def _length_of_union(spans: Spans) -> int:
    starts, stops = spans[np.lexsort((spans[:, 1], spans[:, 0]))].T
    reached = np.concatenate([np.zeros(1, np.int64), np.maximum.accumulate(np.maximum(stops, 0))[:-1]])
    return int(np.maximum(0, stops - np.maximum(starts, reached)).sum())
