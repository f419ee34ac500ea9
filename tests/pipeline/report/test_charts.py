"""Charts of the report: which axes begin at zero."""

from __future__ import annotations

from typing import cast

import pytest
from matplotlib.figure import Figure

from wavlm.pipeline.curves import Curve
from wavlm.pipeline.report import charts
from wavlm.pipeline.report.svg import Chart


def test_all_but_the_loss_begin_at_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """A curve far above zero would look steep on an axis of its own; a loss never comes near zero."""
    drawn: dict[str, float] = {}

    def note(figure: Figure, name: str, *_: object) -> Chart:
        drawn[name] = figure.axes[0].get_ylim()[0]
        return cast("Chart", None)

    monkeypatch.setattr(charts, "to_chart", note)
    for plot in charts.PLOTS:
        charts._draw_plot(plot, {line.metric: Curve(line.metric, (1, 2), (50.0, 51.0)) for line in plot.lines})
    assert {name for name, bottom in drawn.items() if bottom == 0} == {
        "accuracy", "contrast-accuracy", "perplexity", "lr", "gradient", "throughput", "wait",
    }  # fmt: skip
    assert {"loss", "contrast-loss"} <= drawn.keys()
