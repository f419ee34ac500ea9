"""What a function costs: its CPU time and peak memory, in a fresh process, and how they grow with its size."""

from __future__ import annotations

import math
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from benchmarks.scale.row import Row

MB = 1e6
BYTES_PER_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
SHARES = (0.25, 0.5, 1.0)  # of a size, for the exponent


@dataclass(frozen=True)
class Spent:
    """What one call cost. `result` is what it returned."""

    cpu_s: float
    wall_s: float
    peak_mb: float  # of the whole process, with the libraries that it imports
    result: Any = None


def cost_of(function: Callable[..., Any], *arguments: Any) -> Spent:
    """Call a function of a module in a process of its own. Its CPU seconds are those after the imports."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_call, function, arguments).result()


def _call(function: Callable[..., Any], arguments: Sequence[Any]) -> Spent:
    cpu, wall = _cpu_s(), time.monotonic()
    result = function(*arguments)
    return Spent(_cpu_s() - cpu, time.monotonic() - wall, _peak_mb(), result)


def _cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def _peak_mb() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_PER_UNIT / MB)


def growth_exponent(costs: Mapping[int, float]) -> float:
    """The slope of the logarithm of a cost over that of the size: 1 is linear, 2 quadratic. (Least squares.)"""
    points = [(math.log(size), math.log(max(cost, 1e-9))) for size, cost in costs.items()]
    mean_x, mean_y = (sum(column) / len(points) for column in zip(*points, strict=True))
    slope: float = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    return slope


def in_sizes(what: str, cost: Callable[[int], Spent], size: int, known: Mapping[str, tuple[str, str]]) -> list[Row]:
    """Memory and CPU time of a quarter, a half and all of a size, and the exponent of the time.

    known: `MB` and `CPU s` with the figure before and the goal.
    """
    costs = {round(size * share): cost(round(size * share)) for share in SHARES}
    whole = costs[size]
    figures = (("peak memory", whole.peak_mb, "MB"), ("CPU time", whole.cpu_s, "CPU s"))
    rows = [Row(f"{what}: {name}", value, unit, size, *known.get(unit, ("", ""))) for name, value, unit in figures]
    exponent = growth_exponent({number: found.cpu_s for number, found in costs.items()})
    return [*rows, Row(f"{what}: growth of the CPU time", exponent, "(exponent)", size)]
