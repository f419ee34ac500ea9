"""Regions of audio files: which samples a row of a manifest means, what is wrong with it, and which regions overlap."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from wavlm.corpus.audio.reason import Reason

if TYPE_CHECKING:  # its libraries are not needed to find samples
    from wavlm.corpus.manifest import ManifestRow

    Row: TypeAlias = "ManifestRow | AudioRegion"

# Lists round their times, and a header may promise some milliseconds more than a decoder gives. A region that ends at
# most so far behind the end of its file ends with the file. It is the --max-overshoot of Kaldi's extract-segments.
MAX_OVERSHOOT_SECONDS = 0.5

STEPS_PER_SECOND = 16_000  # times are compared in steps of a sample at 16 kHz


class Passage(NamedTuple):
    """The samples of a file from `start` to `stop`."""

    start: int
    stop: int

    @property
    def samples(self) -> int:
        return self.stop - self.start


class AudioRegion(NamedTuple):
    """A recording as a region of a file, by the digest of the file."""

    key: str
    sha256: str
    start_s: float | None
    end_s: float | None
    channel: int | None


class RegionFault(NamedTuple):
    """Why a region cannot be used."""

    reason: Reason
    what: str


def find_passage(start_s: float | None, end_s: float | None, num_samples: int, rate_hz: int) -> Passage:
    """The samples of a region as far as they lie in a file of `num_samples`; none, if it is empty or reversed."""
    start = 0 if start_s is None else _to_sample(start_s, num_samples, rate_hz)
    stop = num_samples if end_s is None else _to_sample(end_s, num_samples, rate_hz)
    return Passage(start, max(start, stop))


def _to_sample(seconds: float, num_samples: int, rate_hz: int) -> int:
    return 0 if math.isnan(seconds) else round(min(max(seconds, 0.0) * rate_hz, num_samples))


def find_region_fault(start_s: float | None, end_s: float | None, num_samples: int, rate_hz: int) -> RegionFault | None:
    """What is wrong with a region of a file of `num_samples`: it is empty or reversed, or lies outside of the file."""
    length_s = num_samples / rate_hz
    start, end = (0.0 if start_s is None else start_s), (length_s if end_s is None else end_s)
    span = f"from {start:g} s to {'its end' if end_s is None else f'{end:g} s'}"
    if end_s is not None and not start < end:
        return RegionFault(Reason.REGION_EMPTY, f"a region {span}")
    if not -0.5 / rate_hz < start < length_s or not end <= length_s + MAX_OVERSHOOT_SECONDS:
        return RegionFault(Reason.REGION_OUTSIDE, f"a region {span}, in {length_s:.3f} s")
    if find_passage(start_s, end_s, num_samples, rate_hz).samples == 0:
        return RegionFault(Reason.REGION_EMPTY, f"a region {span}")
    return None


def find_overlaps(rows: Iterable[Row], held: Sequence[Row], default_channel: int | None) -> frozenset[str]:
    """Keys of the rows that share audio with one of the held rows: time and channel of equal bytes.

    `default_channel`: of rows that name none; None: all of the file's channels. Regions that only touch share nothing.
    """
    known: dict[tuple[str, int | None], list[_Steps]] = defaultdict(list)
    for row in held:
        steps, channel = _steps(row), row.channel or default_channel
        known[row.sha256, channel].append(steps)
        known[row.sha256, _ANY].append(steps)
    merged = {place: _merge(found) for place, found in known.items()}
    found = set()
    for row in rows:
        channel = row.channel or default_channel
        places: tuple[int | None, ...] = (_ANY,) if channel is None else (channel, None)
        if any(_meets(_steps(row), merged.get((row.sha256, place), ())) for place in places):
            found.add(row.key)
    return frozenset(found)


_Steps = tuple[float, float]
_ANY = -1  # stands for every channel: what takes the mean of all shares audio with each


def _steps(row: Row) -> _Steps:
    start = 0.0 if row.start_s is None else _rounded(row.start_s)
    return start, math.inf if row.end_s is None else _rounded(row.end_s)


def _rounded(seconds: float) -> float:
    return round(seconds * STEPS_PER_SECOND) if math.isfinite(seconds) else seconds


def _merge(spans: Sequence[_Steps]) -> list[_Steps]:
    """Spans that overlap or touch become one; those without length are left out. In order."""
    merged: list[_Steps] = []
    for start, stop in sorted(span for span in spans if span[0] < span[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], stop)
        else:
            merged.append((start, stop))
    return merged


def _meets(span: _Steps, merged: Sequence[_Steps]) -> bool:
    """Whether a span shares audio with one of some spans, which do not overlap and stand in order."""
    before = bisect_left(merged, (span[1],)) - 1  # the last one that starts before the span ends
    return span[0] < span[1] and before >= 0 and merged[before][1] > span[0]
