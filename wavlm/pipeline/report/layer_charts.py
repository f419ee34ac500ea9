"""The charts of the layers of a model: ABX error and effective rank, with those of MFCC as dashed lines."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wavlm.evaluation.facts import MODES, ScoresFacts
from wavlm.evaluation.heat_map import plot_heat_map
from wavlm.evaluation.results.layers import describe_centres
from wavlm.pipeline.report.charts import SIZE_INCHES
from wavlm.pipeline.report.content import Report
from wavlm.pipeline.report.svg import SERIES, Chart, page_style, to_chart
from wavlm.pipeline.scoreboard import own_results

Values = Mapping[int, float]  # by layer, 0: MFCC


def draw_abx(scores: ScoresFacts) -> Chart | None:
    """The ABX error of each layer, within and across speakers."""
    found = {
        f"{mode} speakers": {item.layer: error for item in scores.scores if (error := item.abx_error(mode)) is not None}
        for mode in MODES
    }
    curves = {name: values for name, values in found.items() if values}
    return _draw(curves, "abx", "ABX error of phones (lower is better)", "error") if curves else None


def draw_rank(scores: ScoresFacts) -> Chart | None:
    """The effective rank of each layer, of all corpora."""
    values = {shape.layer: shape.effective_rank for shape in scores.shapes if not shape.corpus}
    return _draw({"effective rank": values}, "rank", "Effective rank of each layer", "rank") if values else None


def draw_weights(report: Report) -> Chart | None:
    """The heat map of what the heads of the model's evaluations weigh."""
    own = own_results(report.board, report.model)
    with page_style():
        figure = plot_heat_map(own)
        if figure is None:
            return None
        return to_chart(figure, "weights", "What heads weigh in each layer", describe_centres(own, report.model.name))


def _draw(curves: Mapping[str, Values], name: str, title: str, unit: str) -> Chart:
    words = []
    with page_style():
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        axes = figure.subplots()
        for number, (label, values) in enumerate(curves.items()):
            layers = [layer for layer in sorted(values) if layer]
            axes.plot(layers, [values[it] for it in layers], color=SERIES[number], marker="os"[number], label=label)
            if 0 in values:
                axes.axhline(values[0], color=SERIES[number], linestyle="--", label=f"{label}, MFCC")
            figures = ", ".join(f"{f'layer {it}' if it else 'MFCC'} {values[it]:.3f}" for it in sorted(values))
            words.append(f"{label.capitalize()}: {figures}.")
        axes.set(xlabel="layer", ylabel=unit)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside upper left", ncols=2)
        return to_chart(figure, name, title, f"{title}. {' '.join(words)}")
