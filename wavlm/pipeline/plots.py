"""Plots as PNG: loss and accuracy over the updates, and label quality of the iterations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from wavlm.pipeline.curves import Curve, read_curves
from wavlm.storage.files import open_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 120

# The colours of Okabe and Ito, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"
SPLITS = (("train", "train", BLUE), ("valid", "valid", ORANGE), ("valid_mixed", "mixed", GREEN))


@dataclass(frozen=True)
class QualityBar:
    """Label quality of one clustering on frames with known phones."""

    title: str  # e.g. "iteration 1\nMFCC, K=100"
    pnmi: float
    phone_purity: float
    cluster_purity: float
    num_frames: int


def plot_curves(model_dir: Path, out: Path, title: str) -> Path:
    """Loss and masked accuracy over the updates, the accuracy beside that of always guessing the
    commonest label."""
    curves = read_curves(model_dir)
    majority = curves.get("valid/majority")
    figure = Figure(figsize=(10, 4.6), dpi=DPI, layout="constrained")
    figure.suptitle(title)
    loss, accuracy = figure.subplots(1, 2)
    kind = "contrast" if "valid/contrast_loss" in curves or "train/contrast_loss" in curves else "masked"
    _draw_splits(loss, curves, f"{kind}_loss", scale=1.0)
    _draw_level(loss, curves.get("valid/label_entropy"), "guessing by label frequency: {:.2f}")
    loss.set(xlabel="update", ylabel="loss per frame [nats]", title="Loss")
    _draw_splits(accuracy, curves, f"{kind}_accuracy", scale=100.0)
    _draw_level(accuracy, majority, "always the commonest label: {:.1f} %", scale=100.0)
    accuracy.set(xlabel="update", ylabel="masked frames predicted right [%]", title="Accuracy")
    accuracy.set_ylim(bottom=0)
    for axes in (loss, accuracy):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=9)
    return _save(figure, out)


def plot_tuning(folder: Path, out: Path, title: str) -> Path:
    """Loss and the first figure on the dev part over the updates of a fine-tuning; lines where stages begin."""
    curves = read_curves(folder)
    figure = Figure(figsize=(10, 4.2), dpi=DPI, layout="constrained")
    figure.suptitle(title)
    on_dev = next((curve for name, curve in curves.items() if name.startswith("dev/")), None)
    for axes, curve, colour in zip(
        figure.subplots(1, 2), (curves.get("train/loss"), on_dev), (BLUE, ORANGE), strict=True
    ):
        if curve:
            axes.plot(curve.steps, curve.values, color=colour, marker="o", markersize=3, linewidth=1.2)
            axes.set(xlabel="update", title=curve.name)
        for step in _begins_of_stages(curves.get("stage")):
            axes.axvline(step, color=GREY, linestyle="--", linewidth=0.8)
        axes.grid(alpha=0.3)
    return _save(figure, out)


def _begins_of_stages(stages: Curve | None) -> Iterator[int]:
    """The last update with a record before each stage but the first."""
    for number, (before, after) in enumerate(pairwise(stages.values if stages else ())):
        if stages and after != before:
            yield stages.steps[number]


def plot_quality(bars: Sequence[QualityBar], out: Path) -> Path:
    """Label quality of the iterations side by side. The title names the frames, or that they differ."""
    figure = Figure(figsize=(max(6.0, 2.2 * len(bars) + 2), 4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    measures = (
        ("PNMI", [bar.pnmi for bar in bars], BLUE),
        ("phone purity", [bar.phone_purity for bar in bars], ORANGE),
        ("cluster purity", [bar.cluster_purity for bar in bars], GREEN),
    )
    centres = np.arange(len(bars))
    for number, (name, values, colour) in enumerate(measures):
        drawn = axes.bar(centres + (number - 1) * 0.27, values, 0.25, label=name, color=colour)
        axes.bar_label(drawn, fmt="%.3f", fontsize=8, padding=2)
    axes.set_xticks(centres, [bar.title for bar in bars])
    axes.set_ylim(0, 1.15 * max([0.1, *(v for _, values, _ in measures for v in values)]))
    axes.set(ylabel="share", title=f"Label quality, {_frames(bars)}")
    figure.legend(loc="outside lower center", ncols=len(measures))
    return _save(figure, out)


def _draw_splits(axes: Axes, curves: Mapping[str, Curve], metric: str, scale: float) -> None:
    for split, label, colour in SPLITS:
        curve = curves.get(f"{split}/{metric}")
        if curve:
            marker = "" if split == "train" else "o"
            axes.plot(
                curve.steps,
                [scale * value for value in curve.values],
                color=colour,
                marker=marker,
                markersize=3,
                linewidth=1.2,
                label=label,
            )


def _draw_level(axes: Axes, curve: Curve | None, label: str, scale: float = 1.0) -> None:
    """A dashed line at the last value of a curve: what needs no network reaches as much."""
    if curve:
        level = scale * curve.last
        axes.axhline(level, color=GREY, linestyle="--", label=label.format(level))


def _frames(bars: Sequence[QualityBar]) -> str:
    counts = sorted({bar.num_frames for bar in bars})
    if len(counts) == 1:
        return f"each on {counts[0]:,} frames"
    return "on different frames: not comparable"


def _save(figure: Figure, out: Path) -> Path:
    with open_atomic(out) as file:
        figure.savefig(file, format="png", metadata={"Software": None})
    return out
