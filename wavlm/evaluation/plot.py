"""Plot the scores of the layers of a model."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wavlm.evaluation.facts import MODES, LayerScore, LayerShape, ScoresFacts

PANEL_INCHES = (6, 3.4)


def plot_scores(facts: ScoresFacts, num_clusters: int) -> Figure:
    """Over layers: label quality and ABX where there are phones, effective rank always. MFCC's are dashed lines."""
    shapes = [shape for shape in facts.shapes if not shape.corpus]
    has_abx = any(item.abx for item in facts.scores)
    count = bool(facts.scores) + has_abx + bool(shapes)
    figure = Figure(figsize=(PANEL_INCHES[0], PANEL_INCHES[1] * count), layout="constrained")
    panels = iter(figure.subplots(count, squeeze=False)[:, 0])
    if facts.scores:
        _plot_quality(next(panels), facts.scores, num_clusters)
    if has_abx:
        _plot_abx(next(panels), facts.scores)
    if shapes:
        _plot_rank(next(panels), shapes)
    return figure


def _plot_quality(axes: Axes, scores: Sequence[LayerScore], num_clusters: int) -> None:
    _plot(axes, scores, "PNMI", [item.quality.pnmi for item in scores])
    _plot(axes, scores, "phone purity", [item.quality.phone_purity for item in scores])
    _finish(axes, f"label quality, K = {num_clusters}")


def _plot_abx(axes: Axes, scores: Sequence[LayerScore]) -> None:
    for mode in MODES:
        errors = [error for item in scores if (error := item.abx_error(mode)) is not None]
        if errors:
            _plot(axes, scores, f"ABX {mode} speakers", errors)
    _finish(axes, "ABX error (lower is better)")


def _plot_rank(axes: Axes, shapes: Sequence[LayerShape]) -> None:
    _plot(axes, shapes, "effective rank", [shape.effective_rank for shape in shapes])
    _finish(axes, "effective rank")


def _plot(axes: Axes, items: Sequence[LayerScore | LayerShape], name: str, values: Sequence[float]) -> None:
    """A curve over layers. MFCC comes first."""
    layers = [item.layer for item in items[1:]]
    (line,) = axes.plot(layers, values[1:], marker="o", label=name)
    axes.axhline(values[0], color=line.get_color(), linestyle="--", label=f"{name} of MFCC")
    axes.set_xticks(layers)


def _finish(axes: Axes, label: str) -> None:
    axes.set(xlabel="layer", ylabel=label)
    axes.margins(y=0.1)
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
