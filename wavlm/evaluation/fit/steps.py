"""How far the fits of an evaluation are: a fraction for bars, and a line of the log at least twice per minute."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

SHOW_SECONDS = 1.0
LOG_SECONDS = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitProgress:
    """How far one fit is."""

    learning_rate: float
    seed: int
    update: int
    updates: int  # at most
    best: float | None  # the best score on the dev part so far, higher is better
    scoring: float | None = None  # the share of the dev part that is scored; None: it trains


Report = Callable[[FitProgress], None]


def no_report(_: FitProgress) -> None:
    """Report nothing."""


class FitSteps:
    """Counts fits that have ended, and follows the one under way. `show` takes a fraction from 0 to 1."""

    def __init__(
        self, name: str, total: int, show: Callable[[float], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._total, self._show, self._clock = name, max(1, total), show, clock
        self._done = 0
        self._shown = self._logged = clock()

    def __call__(self) -> None:
        """One more fit, or one more state that is compared, has ended."""
        self._done += 1
        self._show(min(1.0, self._done / self._total))
        self._say(f"{self._done} of {self._total} fits have ended")

    def report(self, fit: FitProgress) -> None:
        """Follow a fit. It is called at each update, so most calls do nothing."""
        now = self._clock()
        if now - self._shown >= SHOW_SECONDS:
            self._shown = now
            self._show(min(1.0, (self._done + fit.update / fit.updates) / self._total))
        if now - self._logged >= LOG_SECONDS:
            best = "not scored yet" if fit.best is None else f"best dev score {fit.best:.4f}"
            scoring = "" if fit.scoring is None else f", {100 * fit.scoring:.0f} % of the dev part scored"
            self._say(
                f"fit {self._done + 1} of {self._total}, learning rate {fit.learning_rate:g}, seed {fit.seed}: "
                f"update {fit.update} of {fit.updates}, {best}{scoring}"
            )

    def _say(self, text: str) -> None:
        if self._clock() - self._logged >= LOG_SECONDS:
            self._logged = self._clock()
            _log.info("%s: %s", self._name, text)
