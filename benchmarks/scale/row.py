"""One measured figure, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A figure that was measured."""

    what: str
    value: float
    unit: str
    size: int = 0  # how many utterances, recordings or parts; 0: the figure has no size
    before: str = ""  # the figure of the code before, with its unit
    goal: str = ""  # such as `<= 250 MB`

    def __str__(self) -> str:
        at = f" at {self.size:,}" if self.size else ""
        before = f", before {self.before}" if self.before else ""
        goal = f", goal {self.goal}" if self.goal else ""
        return f"{self.what}{at}: {round_figures(self.value)} {self.unit}{before}{goal}"


def round_figures(value: float) -> str:
    """A number with three figures, or all of them if it is larger."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
