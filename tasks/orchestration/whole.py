"""How far a whole run is: each artifact weighs the seconds that it is expected to take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar


class Whole:
    """The progress of a run, from 0 to 100 %, of artifacts with these weights, by key. It never goes back."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = dict(weights)
        self._sum = sum(weights.values())
        self._before = self._part = 0.0  # weights: of what is done, of what is being made
        self._percent = 0.0

    @contextmanager
    def part(self, key: str) -> Iterator[None]:
        """While the block runs, progress is that of this artifact, and of the inputs that it needs made again."""
        self._part = self._weights.pop(key, 0.0)
        yield
        self._before += self._part
        self._part = 0.0
        self.percent(0.0)

    def percent(self, fraction: float) -> float:
        """How far the run is, in %, with this fraction of the present artifact done."""
        if not self._sum:
            return 100.0
        now = 100 * (self._before + self._part * min(1.0, max(0.0, fraction))) / self._sum
        self._percent = max(self._percent, now)
        return self._percent


_whole: ContextVar[Whole | None] = ContextVar("wavlm_whole", default=None)


@contextmanager
def show_whole(weights: Mapping[str, float]) -> Iterator[Whole]:
    """Let every progress that is shown while the block runs say how far the whole run is, too."""
    whole = Whole(weights)
    token = _whole.set(whole)
    try:
        yield whole
    finally:
        _whole.reset(token)


def current_whole() -> Whole | None:
    """The run that goes on here; None outside one."""
    return _whole.get()
