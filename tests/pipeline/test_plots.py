"""Plots show what the files hold: read back from the figure's size and ink, and by eye."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from wavlm.execution import metrics
from wavlm.pipeline.curves import read_curves
from wavlm.pipeline.plots import QualityBar, plot_curves, plot_quality


def write_curve(folder: Path, updates: range) -> None:
    for update in updates:
        record: metrics.MetricsRecord = {
            "update": update,
            "train/masked_loss": 2.0 + 2.5 * np.exp(-update / 300),
            "train/masked_accuracy": 0.4 - 0.35 * np.exp(-update / 300),
            "time_unix": 1e9 + update,
        }
        if update % 200 == 0:
            record |= {
                "valid/masked_loss": 2.2 + 2.3 * np.exp(-update / 300),
                "valid/masked_accuracy": 0.36 - 0.33 * np.exp(-update / 300),
                "valid/majority": 0.064,
                "valid/label_entropy": 3.71,
                "valid_mixed/masked_loss": 2.6 + 2.0 * np.exp(-update / 300),
                "valid_mixed/masked_accuracy": 0.28 - 0.25 * np.exp(-update / 300),
            }
        metrics.append(folder / "metrics.jsonl", record)


def has_colour(picture: Path, colour: str) -> bool:
    """Whether some pixels of a picture are exactly of this colour."""
    pixels = np.round(matplotlib.image.imread(picture)[..., :3] * 255)
    wanted = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return bool((pixels == wanted).all(axis=-1).sum() > 20)


@pytest.mark.slow
def test_curves_show_each_split_that_was_measured_and_no_other(tmp_path: Path) -> None:
    write_curve(tmp_path, range(50, 150, 50))
    early = plot_curves(tmp_path, tmp_path / "early.png", "iteration 1")
    write_curve(tmp_path, range(150, 1050, 50))
    late = plot_curves(tmp_path, tmp_path / "late.png", "iteration 1")
    blue, orange, green = "#0072B2", "#E69F00", "#009E73"
    assert [has_colour(early, colour) for colour in (blue, orange, green)] == [True, False, False]
    assert [has_colour(late, colour) for colour in (blue, orange, green)] == [True, True, True]


def test_curves_are_named_in_a_legend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr("wavlm.pipeline.plots._save", lambda figure, out: figures.append(figure) or out)
    write_curve(tmp_path, range(50, 450, 50))
    plot_curves(tmp_path, tmp_path / "curves.png", "iteration 1")
    for axes in figures[0].axes:
        legend = axes.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == axes.get_legend_handles_labels()[1]
        assert len(legend.get_texts()) == 4  # three splits and a level


def test_curves_read_only_whole_lines_and_keep_the_order_of_the_file(tmp_path: Path) -> None:
    write_curve(tmp_path, range(100, 400, 100))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"update": 400, "train/mas')
    curves = read_curves(tmp_path)
    assert curves["train/masked_loss"].steps == (100, 200, 300)
    assert curves["valid/majority"].steps == (200,)
    assert "time_unix" not in curves


@pytest.mark.slow
def test_label_quality_is_drawn_for_every_iteration(tmp_path: Path) -> None:
    bars = [
        QualityBar("iteration 1\nMFCC, K=100", 0.312, 0.352, 0.101, 81234),
        QualityBar("iteration 2\nlayer 4, K=100", 0.418, 0.441, 0.128, 81234),
    ]
    both = plot_quality(bars, tmp_path / "both.png")
    one = plot_quality(bars[:1], tmp_path / "one.png")
    assert matplotlib.image.imread(both).shape[0] == matplotlib.image.imread(one).shape[0]
    assert has_colour(both, "#0072B2")
    assert both.read_bytes() == plot_quality(bars, tmp_path / "again.png").read_bytes()
