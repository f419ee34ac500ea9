"""What matplotlib is told to draw, beside what it draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes


def watch_pictures(monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """The values and options of each picture that is drawn from now on."""
    drawn: list[tuple[np.ndarray, dict[str, Any]]] = []
    imshow = Axes.imshow

    def watched(self: Axes, levels: np.ndarray, **options: Any) -> object:
        drawn.append((levels, options))
        return imshow(self, levels, **options)

    monkeypatch.setattr(Axes, "imshow", watched)
    return drawn
