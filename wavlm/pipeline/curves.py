"""The training curve as named points and curves, for plots, summaries and the registry."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from wavlm.execution import metrics

_STEP = "update"
_TIME = "time_unix"


@dataclass(frozen=True)
class Point:
    """One number of one update."""

    name: str
    step: int
    value: float
    unix_ms: int


@dataclass(frozen=True)
class Curve:
    """One metric over the updates, in the order of the file."""

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def last(self) -> float:
        return self.values[-1]


def points(record: Mapping[str, JsonValue]) -> list[Point]:
    """The numbers of one record of metrics.jsonl; nested names are joined by a slash.

    Its time comes from the record, so that uploading it twice gives the same point.
    """
    step, seconds = record.get(_STEP), record.get(_TIME, 0)
    if not isinstance(step, int):
        raise TypeError(f"a record of the metrics has no whole number as {_STEP}: {dict(record)}")
    unix_ms = round(seconds * 1000) if isinstance(seconds, int | float) else 0
    numbers = _numbers("", {k: v for k, v in record.items() if k not in (_STEP, _TIME)})
    return [Point(name, step, value, unix_ms) for name, value in numbers]


def read_points(model_dir: Path) -> list[Point]:
    """All points of a model's metrics.jsonl."""
    return [point for record in metrics.read(model_dir / metrics.METRICS_FILE) for point in points(record)]


def read_curves(model_dir: Path) -> dict[str, Curve]:
    """The curves of a model by name."""
    by_name: dict[str, list[Point]] = {}
    for point in read_points(model_dir):
        by_name.setdefault(point.name, []).append(point)
    return {
        name: Curve(name, tuple(p.step for p in found), tuple(p.value for p in found))
        for name, found in by_name.items()
    }


def _numbers(prefix: str, value: JsonValue) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers(f"{prefix}/{name}" if prefix else name, item)
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield prefix, float(value)
