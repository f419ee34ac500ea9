"""How far a whole run is: each artifact weighs the seconds that it is expected to take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_part: ContextVar[str] = ContextVar("wavlm_part", default="")  # the key of what is made in this thread


class Whole:
    """The progress of a run, from 0 to 100 %, of artifacts with these weights, by key. It never goes back."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = dict(weights)
        self._sum = sum(weights.values())
        self._before = 0.0  # the weight of what is done
        self._under_way: dict[str, tuple[float, float]] = {}  # weight, and how much of it is done, by key
        self._percent = 0.0

    @contextmanager
    def part(self, key: str) -> Iterator[None]:
        """While the block runs, progress is that of this artifact, and of the inputs that it needs made again.

        Several may be made at a time, each in a thread of its own.
        """
        weight = self._weights.pop(key, 0.0)
        self._under_way[key] = weight, 0.0
        token = _part.set(key)
        try:
            yield
            self._before += weight
        finally:
            _part.reset(token)
            del self._under_way[key]
        self.percent(0.0)

    def percent(self, fraction: float) -> float:
        """How far the run is, in %, with this fraction of the artifact of this thread done."""
        if not self._sum:
            return 100.0
        key = _part.get()
        if key in self._under_way:
            weight, _ = self._under_way[key]
            self._under_way[key] = weight, weight * min(1.0, max(0.0, fraction))
        now = 100 * (self._before + sum(done for _, done in list(self._under_way.values()))) / self._sum
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
