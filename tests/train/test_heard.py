"""The curve says how much of each corpus and language was trained on, whatever was stopped meanwhile."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch

from tests.train import fakes
from wavlm.engine.ranks import Ranks
from wavlm.errors import StoppedError
from wavlm.execution import metrics
from wavlm.execution.job import TrainJob
from wavlm.execution.stop import StopRequest
from wavlm.loader.batch import PackedBatch
from wavlm.loader.epochs import SamplerState
from wavlm.train import loop
from wavlm.train.facts import read_training
from wavlm.train.loop import Data

pytestmark = pytest.mark.numeric
ALONE = Ranks(0, 1, torch.device("cpu"))
NAMES = ("corpus/a", "language/zh_TW-fc7164")


def frames_of(after: SamplerState) -> tuple[int, int]:
    """Of the update that ends here."""
    return 1000 * after.epoch + 10 * after.group, 50


def data_of(made: TrainJob, stop_at: int = 0) -> Data:
    """Data of `fakes` whose updates count frames. With the batch `stop_at` comes a request to stop, as a signal."""
    left = count(1)

    def counted(batch: PackedBatch) -> PackedBatch:
        if next(left) == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return replace(batch, heard=frames_of(batch.after))

    base = fakes.data(made, ALONE, counted)
    return replace(base, heard=NAMES, valid_at_end={"valid_language/cs": base.valid["valid"]})


def curve(made: TrainJob) -> dict[int, metrics.MetricsRecord]:
    return {int(line["update"]): line for line in metrics.read(made.out / metrics.METRICS_FILE)}


def test_seconds_that_were_heard_are_in_the_curve_when_it_is_validated(tmp_path: Path) -> None:
    made = fakes.job(tmp_path)
    with StopRequest() as stop:
        loop.train(made, data_of(made), ALONE, stop)
    whole, expected, position = curve(made), [0, 0], SamplerState()
    for update in range(1, 7):
        position = next(iter(fakes.data(made, ALONE).train(position))).after
        expected = [before + more for before, more in zip(expected, frames_of(position), strict=True)]
        found = [whole.get(update, {}).get(f"heard/{name}") for name in NAMES]
        assert found == ([frames / 400 for frames in expected] if update in (3, 6) else [None, None])
    assert read_training(tmp_path).metrics["heard/corpus/a"] == expected[0] / 400


def test_a_stopped_training_goes_on_counting(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole, halved = fakes.job(tmp_path / "whole"), fakes.job(tmp_path)
    with StopRequest() as stop:
        loop.train(whole, data_of(whole), ALONE, stop)
    with StopRequest() as stop, pytest.raises(StoppedError):
        loop.train(halved, data_of(halved, 10), ALONE, stop)
    with StopRequest() as stop:
        loop.train(halved, data_of(halved), ALONE, stop)
    for name in NAMES:
        assert curve(halved)[6][f"heard/{name}"] == curve(whole)[6][f"heard/{name}"]


def test_few_metrics_of_each_language_are_in_the_curve_and_only_at_the_end(tmp_path: Path) -> None:
    made = fakes.job(tmp_path)
    with StopRequest() as stop:
        loop.train(made, data_of(made), ALONE, stop)
    found = {update: sorted(name for name in line if "language/cs" in name) for update, line in curve(made).items()}
    assert found.pop(6) == [f"valid_language/cs/{name}" for name in ("loss", "majority", "masked_accuracy")]
    assert not any(found.values())
