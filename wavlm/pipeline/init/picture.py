"""A picture of the lengths of recordings: how many there are, how much audio that is, and where cuts will fall."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from wavlm.pipeline.init.look import Seconds
from wavlm.pipeline.plots import BLUE, DPI, GREY, ORANGE
from wavlm.storage.files import open_atomic

BINS = 40


def draw_lengths(lengths: Seconds, limits: Mapping[str, float], title: str, out: Path) -> Path:
    """Two histograms over the length in seconds, on a log scale: recordings, and hours. `limits`: lines with names."""
    shown = lengths[lengths > 0]
    edges = np.geomspace(max(0.05, shown.min() * 0.9), max(shown.max() * 1.1, 1.0), BINS + 1)
    figure = Figure(figsize=(10, 4.2), dpi=DPI, layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(1, 2)
    for axes, weights, colour, label in (
        (panels[0], None, BLUE, "recordings"),
        (panels[1], shown / 3600, ORANGE, "hours of audio"),
    ):
        axes.hist(shown, bins=edges, weights=weights, color=colour)
        axes.set(xscale="log", xlabel="length of a recording [s]", ylabel=label)
        for name, seconds in limits.items():
            axes.axvline(seconds, color=GREY, linestyle="--", linewidth=1)
            axes.text(seconds, 0.98, f" {name}", rotation=90, va="top", ha="right", fontsize=7,
                      transform=axes.get_xaxis_transform())  # fmt: skip
        axes.grid(alpha=0.3)
    with open_atomic(out) as file:
        figure.savefig(file, format="png", metadata={"Software": None})
    return out
