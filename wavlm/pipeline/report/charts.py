"""The charts of a report: training curves, label quality, layers, how often each label occurs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from wavlm.evaluation.facts import ScoresFacts
from wavlm.labels.facts import CodebookFacts
from wavlm.pipeline.curves import Curve
from wavlm.pipeline.report.content import Histogram, Report
from wavlm.pipeline.report.decimate import decimate
from wavlm.pipeline.report.svg import MUTED, SERIES, Chart, page_style, to_chart

SIZE_INCHES = (4.9, 3.1)
MARKED = 60  # points of a curve that are still marked one by one
LINES = ("solid", "solid", "solid", (0, (5, 2)))
MARKERS = ("", "o", "s", "")


@dataclass(frozen=True)
class _Line:
    """One curve of a chart."""

    metric: str
    label: str
    scale: float = 1.0


@dataclass(frozen=True)
class _Plot:
    """A chart of curves over the updates."""

    name: str
    title: str
    unit: str
    lines: tuple[_Line, ...]
    level: _Line | None = None  # the last value of this metric as a dashed line
    number: str = "{:.4g}"
    from_zero: bool = False


_SPLITS = (("train", "training"), ("valid", "held-out speech"), ("valid_mixed", "fixed mixtures"))
PLOTS = (
    _Plot(
        "loss",
        "Loss of masked frames",
        "nats per frame",
        tuple(_Line(f"{split}/masked_loss", label) for split, label in _SPLITS),
        _Line("valid/label_entropy", "guessing by label frequency"),
    ),
    _Plot(
        "accuracy",
        "Accuracy of masked frames",
        "predicted right, %",
        tuple(_Line(f"{split}/masked_accuracy", label, 100.0) for split, label in _SPLITS),
        _Line("valid/majority", "always the commonest label", 100.0),
        from_zero=True,
    ),
    _Plot(
        "contrast-loss",
        "Contrastive loss",
        "nats per masked frame",
        tuple(_Line(f"{split}/contrast_loss", label) for split, label in _SPLITS),
    ),
    _Plot(
        "contrast-accuracy",
        "Masked frames told from the negatives",
        "nearest to their own vector, %",
        tuple(_Line(f"{split}/contrast_accuracy", label, 100.0) for split, label in _SPLITS),
        from_zero=True,
    ),
    _Plot(
        "perplexity",
        "Hard perplexity of the codes",
        "entries in use, all codebooks",
        tuple(_Line(f"{split}/hard_perplexity", label) for split, label in _SPLITS),
        from_zero=True,
    ),
    _Plot("lr", "Learning rate", "learning rate", (_Line("lr", "learning rate"),), from_zero=True),
    _Plot("gradient", "Gradient norm", "norm before clipping", (_Line("grad_norm", "gradient norm"),), from_zero=True),
    _Plot(
        "throughput",
        "Throughput",
        "seconds of audio per second",
        (_Line("audio_seconds_per_second", "throughput"),),
        from_zero=True,
    ),
    _Plot(
        "wait",
        "Time spent waiting for data",
        "% of the time",
        (_Line("train/data_wait", "waiting", 100.0),),
        from_zero=True,
    ),
)


def draw_curves(report: Report) -> tuple[Chart, ...]:
    """The training curves; what was not measured has no chart."""
    return tuple(
        chart
        for plot in PLOTS
        if any(line.metric in report.curves for line in plot.lines)
        for chart in [_draw_plot(plot, report.curves)]
    )


def _draw_plot(plot: _Plot, curves: Mapping[str, Curve]) -> Chart:
    with page_style():
        figure, axes = _axes()
        for number, line in enumerate(plot.lines):
            if curve := curves.get(line.metric):
                _draw_line(axes, decimate(curve), line, number)
        if plot.level and (curve := curves.get(plot.level.metric)):
            axes.axhline(plot.level.scale * curve.last, color=MUTED, linestyle="--", label=plot.level.label)
        axes.set(xlabel="update", ylabel=plot.unit)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.yaxis.set_major_formatter("{x:g}")
        if plot.from_zero:
            axes.set_ylim(bottom=0)
        if len(axes.get_legend_handles_labels()[0]) > 1:
            figure.legend(loc="outside upper left", ncols=2)
        return to_chart(figure, plot.name, plot.title, f"{plot.title}. {' '.join(_describe(plot, curves))}")


def _draw_line(axes: Axes, curve: Curve, line: _Line, number: int) -> None:
    axes.plot(
        curve.steps,
        [line.scale * value for value in curve.values],
        color=SERIES[number],
        linestyle=LINES[number],
        marker=MARKERS[number] if 1 < len(curve.steps) <= MARKED else "o" if len(curve.steps) == 1 else "",
        markersize=4,
        label=line.label,
    )


def _describe(plot: _Plot, curves: Mapping[str, Curve]) -> Iterator[str]:
    """The chart in words: where each curve begins and ends, and its extremes."""
    for line in plot.lines:
        if curve := curves.get(line.metric):
            first, last, least, most = (
                plot.number.format(line.scale * value)
                for value in (curve.values[0], curve.last, min(curve.values), max(curve.values))
            )
            yield (
                f"{line.label.capitalize()}: {first} at update {curve.steps[0]:,}, {last} at update "
                f"{curve.steps[-1]:,}; between {least} and {most} {plot.unit}."
            )
    if plot.level and (curve := curves.get(plot.level.metric)):
        yield f"Dashed line, {plot.level.label}: {plot.number.format(plot.level.scale * curve.last)}."


def draw_layers(scores: ScoresFacts) -> Chart | None:
    """PNMI and phone purity of each layer, with those of MFCC as dashed lines."""
    layers = [item for item in scores.scores if item.layer]
    if not layers:
        return None
    mfcc = next((item.quality for item in scores.scores if not item.layer), None)
    measures = [
        ("PNMI", [item.quality.pnmi for item in layers], mfcc.pnmi if mfcc else None),
        ("phone purity", [item.quality.phone_purity for item in layers], mfcc.phone_purity if mfcc else None),
    ]
    words = []
    with page_style():
        figure, axes = _axes()
        for number, (name, values, level) in enumerate(measures):
            axes.plot([item.layer for item in layers], values, color=SERIES[number], marker="os"[number], label=name)
            words.append(
                f"{name}: " + ", ".join(f"{item.name} {v:.3f}" for item, v in zip(layers, values, strict=True))
            )
            if level is not None:
                axes.axhline(level, color=SERIES[number], linestyle="--", label=f"{name} of MFCC")
                words.append(f"{name} of MFCC {level:.3f}")
        axes.set(xlabel="layer", ylabel="share")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside upper left", ncols=2)
        return to_chart(figure, "layers", "Phone information in each layer", f"Label quality. {'; '.join(words)}.")


def draw_quality(report: Report) -> Chart | None:
    """Label quality of the iterations side by side."""
    found = [(item.iteration, item.quality) for item in (*report.before, report.results) if item.quality]
    if not found:
        return None
    measures = ("pnmi", "phone_purity", "cluster_purity")
    names = ("PNMI", "phone purity", "cluster purity")
    words = []
    with page_style():
        figure, axes = _axes()
        centres = np.arange(len(found))
        for number, (measure, name) in enumerate(zip(measures, names, strict=True)):
            values = [getattr(quality, measure) for _, quality in found]
            bars = axes.bar(centres + (number - 1) * 0.27, values, 0.24, color=SERIES[number], label=name)
            axes.bar_label(bars, fmt="%.2f", fontsize=10, padding=2)
        for iteration, quality in found:
            figures = ", ".join(f"{name} {getattr(quality, m):.3f}" for m, name in zip(measures, names, strict=True))
            words.append(f"Iteration {iteration}, {quality.features}, K = {quality.num_clusters}: {figures}.")
        axes.set_xticks(centres, [f"iteration {n}\n{q.features}, K = {q.num_clusters}" for n, q in found])
        axes.set(ylabel="share")
        axes.grid(visible=False, axis="x")
        axes.margins(y=0.12)
        figure.legend(loc="outside upper left", ncols=3)
        return to_chart(figure, "quality", "Label quality of the iterations", " ".join(words))


def draw_histogram(histogram: Histogram) -> Chart:
    """The share of each label, the commonest first, beside an even share."""
    shares = np.sort(np.asarray(histogram.counts))[::-1] / max(1, histogram.counted)
    even = 1 / len(shares)
    unused = int((shares == 0).sum())
    with page_style():
        figure, axes = _axes()
        axes.stairs(100 * shares, np.arange(len(shares) + 1), fill=True, color=SERIES[0], label="share of the frames")
        axes.axhline(100 * even, color=MUTED, linestyle="--", label="if all were equally frequent")
        axes.set(xlabel="labels, the commonest first", ylabel="% of the frames", xlim=(0, len(shares)))
        figure.legend(loc="outside upper left", ncols=2)
        return to_chart(
            figure,
            "histogram",
            "How often each label occurs",
            f"Shares of {len(shares)} labels, the commonest first: {shares[0]:.2%}, the median "
            f"{np.median(shares):.2%}, the rarest {shares[-1]:.3%}; {unused} do not occur. "
            f"If all were equally frequent: {even:.2%}.",
        )


def draw_inertia(codebook: CodebookFacts) -> Chart | None:
    """How k-means converged, or the fit of several codebooks."""
    values, of = codebook.inertia_per_iteration, "k-means" if codebook.type == "kmeans" else "the fit"
    if not values:
        return None
    with page_style():
        figure, axes = _axes()
        axes.plot(range(1, len(values) + 1), values, color=SERIES[0], marker="o" if len(values) < MARKED else "")
        axes.set(xlabel=f"round of {of}", ylabel="mean squared distance")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return to_chart(
            figure,
            "inertia",
            f"How {of} converged",
            f"Mean squared distance to the nearest centroid, {len(values)} rounds: from {values[0]:.5g} to "
            f"{values[-1]:.5g}.",
        )


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    return figure, figure.subplots()
