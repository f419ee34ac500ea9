"""How anything here is measured: interleaved, warmed up, medians, against a named peer.

On a CPU a time is process CPU time of one thread, which a loaded machine disturbs least. On a GPU
it is the time between two events on the stream, after writes that empty the L2 cache and give the
host time to queue its launches.
"""

from __future__ import annotations

import gc
import importlib
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
# What a run writes itself does not make the commit that it measures another one.
WRITTEN = ("benchmarks/results.jsonl", "docs/performance.md")
GOAL = re.compile(r"(>=|<=)\s*(\d+(?:\.\d+)?)")
COVER_BYTES = 1 << 28  # above any L2 cache
COVER_WRITES = 8  # about half a millisecond, in which the host queues what is to be measured


class NotTheSameError(ValueError):
    """Ours and the peer do not compute the same, so their times mean nothing."""


@dataclass(frozen=True)
class Figure:
    """One measured number; a line of results.jsonl."""

    name: str  # script.what.case
    value: float | None  # None: not measured, the note says why
    unit: str
    peer: str
    goal: str | None  # ">= 3"
    met: bool | None  # None: no goal, or no value
    device: str
    commit: str
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """What a script sets out to measure, and the goal on each kind of device that has one."""

    name: str
    unit: str
    peer: str = ""
    cpu: str | None = None  # goal on a CPU
    cuda: str | None = None  # goal on a GPU
    devices: tuple[str, ...] = ("cpu", "cuda")  # where it is measured at all

    def goal(self, device: str) -> str | None:
        return self.cuda if device.startswith("cuda") else self.cpu

    def figure(self, value: float, device: str, note: str = "") -> Figure:
        """The claim with its measured value."""
        return self._figure(value, device, note)

    def skip(self, device: str, reason: str) -> Figure:
        """The claim without a value: a peer that is not installed, memory that is not there."""
        return self._figure(None, device, reason)

    def _figure(self, value: float | None, device: str, note: str) -> Figure:
        goal = self.goal(device)
        where = device_name(device)
        unit, peer = self.unit, self.peer
        return Figure(self.name, value, unit, peer, goal, is_met(value, goal), where, commit(), note)


@dataclass(frozen=True)
class Timing:
    """Seconds of each measured call."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """(slowest - fastest) / median: how much to trust the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


def compare(
    functions: Mapping[str, Callable[[], object]],
    device: str = "cpu",
    *,
    rounds: int = 5,
    warmup: int = 1,
    repeat: int = 1,
) -> dict[str, Timing]:
    """Time each function `rounds` times in turn, `repeat` calls at a time; seconds of one call.

    Every other round runs in opposite order, so that a drift of the clock hits all alike.
    """
    clock = _cuda_seconds if device.startswith("cuda") else _cpu_seconds
    torch.set_num_threads(1)
    for function in functions.values():
        for _ in range(warmup):
            function()
    names = list(functions)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        gc.collect()
        for name in names if number % 2 == 0 else reversed(names):
            found[name].append(clock(functions[name], repeat) / repeat)
    return {name: Timing(tuple(seconds)) for name, seconds in found.items()}


def require_same(what: str, ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    """Raise NotTheSameError if the largest difference is over `tolerance` of the largest value."""
    scale = theirs.detach().abs().max().clamp(min=1e-30)
    worst = ((ours.detach() - theirs.detach()).abs().max() / scale).item()
    if not worst <= tolerance:
        raise NotTheSameError(f"{what}: relative difference {worst:.2g}, expected <= {tolerance:g}")


def find_missing(*modules: str) -> str | None:
    """Why a peer cannot be measured here; None: all of its modules can be imported."""
    for module in modules:
        try:
            importlib.import_module(module)
        except (
            ImportError,
            OSError,
            RuntimeError,
        ) as error:  # also broken installations
            return f"{module} cannot be imported: {error}".splitlines()[0]
    return None


def is_met(value: float | None, goal: str | None) -> bool | None:
    """Whether a value reaches a goal such as ">= 1.4"; None where either is missing."""
    if goal is None:
        return None
    sign, bound = parse_goal(goal)
    if value is None:
        return None
    return value >= bound if sign == ">=" else value <= bound


def parse_goal(goal: str) -> tuple[str, float]:
    """The sign and the number of a goal. Raises ValueError for anything else."""
    match = GOAL.fullmatch(goal)
    if match is None:
        raise ValueError(f"goal {goal!r} is not like '>= 1.4' or '<= 0.5'")
    return match[1], float(match[2])


def number(value: float) -> str:
    """Three digits that matter: 0.0123, 4.57, 1,230."""
    digits = f"{value:.3g}"
    return f"{float(digits):,.0f}" if abs(value) >= 1000 else digits


@cache
def device_name(device: str) -> str:
    """Where a figure comes from: "cpu: 2 cores AMD EPYC", or the GPU's name."""
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    return f"cpu: {len(os.sched_getaffinity(0))} cores {_processor()}"


@cache
def commit() -> str:
    """The commit that is measured, with + if the tree differs from it."""
    short = _git("rev-parse", "--short", "HEAD")
    if short is None:
        return "unknown"
    changed = _git("status", "--porcelain", "--", ".", *(f":!{path}" for path in WRITTEN))
    return short + "+" * bool(changed)


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cpu_seconds(function: Callable[[], object], repeat: int) -> float:
    began = time.process_time()
    for _ in range(repeat):
        function()
    return time.process_time() - began


def _cuda_seconds(function: Callable[[], object], repeat: int) -> float:
    cover = torch.empty(COVER_BYTES, dtype=torch.uint8, device="cuda")
    start, end = (
        torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        for _ in range(2)
    )
    torch.cuda.synchronize()
    for _ in range(COVER_WRITES):
        cover.zero_()
    start.record()
    for _ in range(repeat):
        function()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) / 1e3
