"""Plot the scores of the layers of a model."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from wavlm.evaluation.facts import LayerScore


def plot_scores(scores: Sequence[LayerScore], num_clusters: int) -> Figure:
    """PNMI and phone purity over layers, with those of MFCC, which comes first, as dashed lines."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    layers = [item.layer for item in scores[1:]]
    for name, values in (
        ("PNMI", [item.quality.pnmi for item in scores]),
        ("phone purity", [item.quality.phone_purity for item in scores]),
    ):
        (line,) = axes.plot(layers, values[1:], marker="o", label=name)
        axes.axhline(values[0], color=line.get_color(), linestyle="--", label=f"{name} of MFCC")
    axes.set(xlabel="layer", ylabel=f"label quality, K = {num_clusters}", xticks=layers)
    axes.margins(y=0.1)
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=2)
    return figure
