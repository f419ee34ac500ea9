"""A line of the curve is the mean of the updates since the line before it, whatever was validated meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.train import fakes
from wavlm.engine.ranks import Ranks
from wavlm.execution import metrics
from wavlm.execution.metrics import MetricsRecord
from wavlm.execution.stop import StopRequest
from wavlm.train import loop

pytestmark = pytest.mark.numeric
ALONE = Ranks(0, 1, torch.device("cpu"))


def curve(folder: Path, **train: object) -> dict[int, MetricsRecord]:
    folder.mkdir()
    job = fakes.job(folder, train=train)
    with StopRequest() as stop:
        loop.train(job, fakes.data(job, ALONE), ALONE, stop)
    return {int(line["update"]): line for line in metrics.read(folder / metrics.METRICS_FILE) if "train/loss" in line}


def test_logged_means_cover_all_updates_since_the_last_line(tmp_path: Path) -> None:
    each = curve(tmp_path / "each", log_every=1, valid_every=6)
    pairs = curve(tmp_path / "pairs", log_every=2, valid_every=3)
    assert sorted(pairs) == [2, 4, 6]
    for update, line in pairs.items():
        covered = [each[update - 1], each[update]]
        weights = [one["masked_fraction"] for one in covered]  # all updates of `fakes` have as many frames
        for name in ("train/loss", "train/masked_loss", "train/masked_accuracy"):
            mean = sum(w * one[name] for w, one in zip(weights, covered, strict=True)) / sum(weights)
            assert line[name] == pytest.approx(mean, rel=1e-4), (update, name)
        assert line["masked_fraction"] == pytest.approx(sum(weights) / 2)
