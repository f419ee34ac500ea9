"""Try rows of the catalogue, point by point, and note each trial before the next."""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Protocol, cast

from tests.faults.catalogue import Row, read_catalogue
from tests.faults.events import control
from tests.faults.results import Result, Results, Verdict, current_commit, share_of
from tests.faults.scene import Scene
from tests.faults.trial import BrokenPromiseError

DETAIL_LETTERS = 600  # the end of an error says most
Outcome = tuple[Verdict, int, str]  # verdict, faults that were injected, what was seen


class Injector(Protocol):
    """A module of tests/faults/injectors."""

    def count(self, scene: Scene, row: Row) -> int:
        """How many points there are; 0: without end."""

    def attempt(self, scene: Scene, row: Row, point: int) -> tuple[int, str]:
        """Inject the fault at a point; how many faults that were, and what was seen. Raises BrokenPromiseError."""


class Campaign:
    """One run of the driver."""

    def __init__(self, given: argparse.Namespace, results: Results) -> None:
        self.given, self.results, self.commit = given, results, current_commit()
        self.scene = Scene(given.work / given.share.replace("/", "-of-"), control())
        self.share, self.of = (int(number) for number in given.share.split("/"))
        self.end = time.monotonic() + 60 * given.minutes
        self._counts: dict[str, int] = {}

    def run(self) -> None:
        """Try what is left of the chosen rows: first the points of the fast tier, then the others."""
        rows = [
            row for row in read_catalogue().rows if not self.given.names or {row.id, row.goal} & {*self.given.names}
        ]
        rounds = ["fast"] if self.given.tier == "fast" else ["fast", "full"]
        for tier in rounds:
            for row in rows:
                for point, of in self._left(row, self.given.points or row.points(tier)):  # type: ignore[arg-type]
                    if time.monotonic() > self.end:
                        return
                    self._try(row, point, of)

    def _left(self, row: Row, wanted: int) -> Iterator[tuple[int, int]]:
        """The points that are to be tried, and how many there are."""
        if not wanted:
            return
        injector, began = _injector(row), _now()
        try:
            of = self._counts.setdefault(row.id, 0) or injector.count(self.scene, row)
        except Exception as error:  # noqa: BLE001 - of the injector, too: the other rows are tried
            self._note(row, (0, 0), ("FAILED", 1, f"without a fault: {error!r}"), began)
            return
        self._counts[row.id] = of
        failed = {item.point for item in self.results.by_row().get(row.id, []) if item.verdict == "FAILED"}
        for point in spread(of, wanted):
            is_wanted = not self.results.has(row.id, point) or (self.given.again and point in failed)
            if is_wanted and share_of(row.id, point, self.of) == self.share:
                yield point, of

    def _try(self, row: Row, point: int, of: int) -> None:
        began = _now()
        try:
            trials, detail = _injector(row).attempt(self.scene, row, point)
            outcome: Outcome = ("held", trials, detail)
        except BrokenPromiseError as error:
            outcome = ("FAILED", 1, str(error))
        except Exception as error:  # noqa: BLE001 - of the injector: the other points are tried
            outcome = ("FAILED", 1, f"the trial itself failed: {error!r}")
        self._note(row, (point, of), outcome, began)

    def _note(self, row: Row, place: tuple[int, int], outcome: Outcome, began: tuple[float, float]) -> None:
        (point, of), (verdict, trials, detail) = place, outcome
        seconds, cpu_seconds = (round(now - then, 2) for now, then in zip(_now(), began, strict=True))
        detail, today = " ".join(detail.split()), f"{datetime.now(UTC):%Y-%m-%d}"
        detail = detail[-DETAIL_LETTERS:] if verdict == "FAILED" else detail[:DETAIL_LETTERS]
        self.results.add(Result(row.id, point, of, verdict, trials, detail, seconds, today, self.commit, cpu_seconds))
        print(f"{verdict:6} {seconds:5.1f} s  {row.id} {point}/{of or 'any'}  {detail[:200]}", flush=True)  # noqa: T201  a tool


def spread(of: int, wanted: int) -> list[int]:
    """So many points of 1 to `of`, evenly, a single one in the middle; of endless ones the first."""
    if not of:
        return list(range(1, wanted + 1))
    count = min(of, wanted)
    if count == 1:
        return [(of + 1) // 2]
    return sorted({1 + round(number * (of - 1) / max(1, count - 1)) for number in range(count)})


def _now() -> tuple[float, float]:
    """The clock, and the seconds that this process and those that it has waited for were busy."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.monotonic(), sum(item.ru_utime + item.ru_stime for item in used)


def _injector(row: Row) -> Injector:
    return cast("Injector", import_module(f"tests.faults.injectors.{row.inject}"))
