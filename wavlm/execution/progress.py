"""Progress reports of long work: a callable of (done, total). The library itself displays nothing."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, float], None]


def no_progress(done: float, total: float) -> None:
    """Ignore progress reports."""
