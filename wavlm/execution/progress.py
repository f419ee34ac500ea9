"""How long work tells how far it is: a callable of (done, total). The library shows nothing."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, float], None]


def no_progress(done: float, total: float) -> None:
    """Progress that nobody watches."""
