"""The heat map of a model's layers: softmax weights, shares, and the score of each layer alone; a row per evaluation.

Weights and shares of all rows have one scale, from 0 to the largest: equal weights look equal. Scores of single layers
have a scale per row, from its smallest to its largest value: a row shows which layers, not how good the task is.

Legend: E evaluations, S states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wavlm.evaluation.results.facts import EvaluationFacts, LayerWeight
from wavlm.evaluation.results.layers import with_layers
from wavlm.storage.files import open_atomic

Floats = npt.NDArray[np.float64]

DPI = 120
ONE_SCALE, ROW_SCALES = "layer (colours from 0 to the largest value)", "layer (each row has colours of its own scale)"
COLOURS = "Blues"  # lighter is less, for printers and colour-blind readers, too
ROW_INCHES, CELL_INCHES, ROOM_INCHES = 0.36, 0.3, 1.1
LEAST_INCHES = 5.0  # of width: what stands beneath has to fit
DARKEST = 1.4  # of the colours' range, of which 1 is used: ink stays readable
MOST_WRITTEN = 14  # layers, above which cells are too small for numbers
ALONE = "each layer alone, on dev"
PANELS: tuple[tuple[str, Callable[[LayerWeight], float | None]], ...] = (
    ("softmax weight", lambda it: it.weight),
    ("share: weight x mean norm", lambda it: it.share),
    (ALONE, lambda it: it.alone),
)


def plot_heat_map(results: Sequence[EvaluationFacts], ink: str = "black") -> Figure | None:
    """The heat map of the evaluations of one model that have layer weights; None without any."""
    found = with_layers(results)
    if not found:
        return None
    panels = [(title, value, [it for it in found if _has_any(it, value)]) for title, value in PANELS]
    panels = [(title, value, shown) for title, value, shown in panels if shown]
    num_layers = len(found[0].layers)
    heights = [ROOM_INCHES + ROW_INCHES * len(shown) for _, _, shown in panels]
    figure = Figure(figsize=(max(LEAST_INCHES, 2.2 + CELL_INCHES * num_layers), sum(heights)), layout="constrained")
    every = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for axes, (title, value, shown) in zip(every, panels, strict=True):
        values = np.array([[np.nan if (cell := value(it)) is None else cell for it in item.layers] for item in shown])
        is_alone = title == ALONE
        _draw(axes, values, _scale_rows(values, shown) if is_alone else _scale_all(values), ink)
        axes.set(title=title, xlabel=ROW_SCALES if is_alone else ONE_SCALE)
        axes.set_yticks(range(len(shown)), [_label(item) for item in shown])
        axes.set_xticks(range(num_layers), [str(it.layer) for it in found[0].layers])
    return figure


def write_heat_map(results: Sequence[EvaluationFacts], path: Path, title: str) -> Path | None:
    """Write it as PNG. The same results give the same bytes. None without layer weights."""
    figure = plot_heat_map(results)
    if figure is None:
        return None
    figure.suptitle(title)
    with open_atomic(path) as file:
        figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return path


def _has_any(facts: EvaluationFacts, value: Callable[[LayerWeight], float | None]) -> bool:
    """Whether a panel has anything to show of an evaluation: it is left out of that panel otherwise."""
    return any(value(it) is not None for it in facts.layers)


def _label(facts: EvaluationFacts) -> str:
    return f"{facts.evaluation} (synthetic)" if facts.reality == "synthetic" else facts.evaluation


def _draw(axes: Axes, values: Floats, scaled: Floats, ink: str) -> None:
    """Coloured cells with their values: the best, or the largest, is darkest. The first row is on top."""
    height, width = values.shape
    edges = np.arange(width + 1) - 0.5, np.arange(height + 1) - 0.5
    axes.grid(visible=False)
    axes.pcolormesh(*edges, scaled, cmap=COLOURS, vmin=0.0, vmax=DARKEST, edgecolors="white", linewidth=0.5)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    if width <= MOST_WRITTEN:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                text = f"{value:.2f}".removeprefix("0")
                axes.text(column, row, text, ha="center", va="center", fontsize=6, color=ink)


def _scale_all(values: Floats) -> Floats:
    """All rows from 0 to the largest value of any, as 0 to 1: none is below 0."""
    largest = float(np.nanmax(values))
    return np.ma.masked_invalid(values / largest if largest > 0 else values * 0.0)


def _scale_rows(values: Floats, shown: Sequence[EvaluationFacts]) -> Floats:
    """Each row from its worst value to its best, as 0 to 1."""
    signs = [-1.0 if item.main and item.main.is_lower_better else 1.0 for item in shown]
    return np.ma.masked_invalid([_scale(sign * row) for sign, row in zip(signs, values, strict=True)])


def _scale(row: Floats) -> Floats:
    """A row from 0 to 1; all 0 if its values are equal or not known."""
    known = row[np.isfinite(row)]
    spread = float(known.max() - known.min()) if len(known) else 0.0
    return (row - known.min()) / spread if spread > 0 else row * 0.0
