"""X-Large, split over two ranks with activation checkpointing, learns what one process with all of it learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.numerics import norm_tolerance
from tests.train import pair, xlarge
from wavlm.engine.ranks import Ranks
from wavlm.execution import metrics
from wavlm.execution.stop import StopRequest

pytestmark = [pytest.mark.numeric, pytest.mark.full]

SUMS = 5120 + 1280  # products that are added to one number in the widest layer, one after the other


def curve(folder: Path) -> list[metrics.MetricsRecord]:
    return [
        {name: value for name, value in record.items() if name not in metrics.TIMED}
        for record in metrics.read(folder / "metrics.jsonl")
    ]


def test_two_layers_of_xlarge_learn_the_same_split_and_recomputed(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    ranks = pair.start("tests.train.xlarge", tmp_path / "split")
    said = [rank.communicate()[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], said
    with StopRequest() as stop:
        xlarge.run(xlarge.job(tmp_path / "one"), Ranks(0, 1, torch.device("cpu")), stop)
    tolerance = norm_tolerance(SUMS, torch.float32)
    for ours, theirs in zip(curve(tmp_path / "split"), curve(tmp_path / "one"), strict=True):
        assert ours == pytest.approx(theirs, rel=10 * tolerance)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "split"))
    assert one.keys() == other.keys()
    assert one["encoder.layers.1.fc1.weight"].shape == (5120, 1280)
    for name, weight in one.items():
        assert float((other[name] - weight).norm()) <= 10 * tolerance * float(weight.norm()) + 1e-6, name
