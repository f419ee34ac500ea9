"""The rows of the table: what was measured of a system, of itself without training, and of a trivial answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from wavlm.evaluation.results.facts import Amount, Figure
from wavlm.storage.files import write_text

ROWS_FILE = "rows.jsonl"


class Bounded(BaseModel):
    """A figure and the ends of its 95 % interval; without them, where none can be computed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, figure: Figure) -> Bounded:
        """That of an evaluation."""
        interval = figure.interval
        if interval is None:
            return cls(value=figure.value)
        return cls(value=figure.value, low=interval.low, high=interval.high)

    @property
    def is_above_zero(self) -> bool:
        """Whether all of the interval is. False without one."""
        return self.low is not None and self.low > 0


class LearnRow(BaseModel):
    """What was measured of one system."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str
    task: str
    figure: str  # its name, as `der`
    unit: Literal["%", "dB"]
    is_lower_better: bool
    trained: Bounded
    untrained: Bounded
    baseline: Bounded
    baseline_name: str
    over_untrained: Bounded  # the gain, drawn in pairs; above 0: the trained system is better
    over_baseline: Bounded
    data: str
    reality: str
    test: Amount
    intervals: str  # what they were drawn over
    minutes: float  # by the clock, of the training
    cpu_s: float  # of it
    control_cpu_s: float = 0.0  # of the same system without training
    key: str  # of spec, data and model
    commit: str
    date: str

    @property
    def beats_both(self) -> bool:
        """Whether the trained system is better than both: the intervals of both gains lie above 0."""
        return self.over_untrained.is_above_zero and self.over_baseline.is_above_zero


def read_rows(work: Path) -> list[LearnRow]:
    """The rows measured so far; of one system the last one counts."""
    path = work / ROWS_FILE
    lines = path.read_text().splitlines() if path.exists() else []
    found = {row.system: row for row in (LearnRow.model_validate_json(line) for line in lines)}
    return list(found.values())


def add_row(work: Path, row: LearnRow) -> None:
    """Keep a row, whole or not at all."""
    kept = [item for item in read_rows(work) if item.system != row.system]
    write_text(work / ROWS_FILE, "".join(f"{item.model_dump_json()}\n" for item in [*kept, row]))


def is_measured(rows: Sequence[LearnRow], system: str, key: str, commit: str) -> bool:
    """Whether a row of this spec is there. commit: of the code that it depends on; empty: that of any."""
    return any(row.system == system and row.key == key and commit in ("", row.commit) for row in rows)
