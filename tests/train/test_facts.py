"""training.json: read back as typed facts, with the last value of each metric of the curve."""

from pathlib import Path

import pytest

from tests.train import fakes
from wavlm.execution import metrics
from wavlm.storage.files import read_json
from wavlm.train.facts import TRAINING_FILE, TrainingFacts, is_finished, read_training, write_training


def facts(key: str) -> TrainingFacts:
    return TrainingFacts(
        key=key,
        updates=6,
        epochs=1,
        skipped_updates=0,
        audio_seconds=9.0,
        wall_seconds=0.5,
        parameters=1000,
        processes=1,
        device="cpu",
        torch="2.11",
    )


def test_facts_come_back_with_the_last_values_of_the_curve(tmp_path: Path) -> None:
    job = fakes.job(tmp_path)
    metrics.append(tmp_path / metrics.METRICS_FILE, {"update": 3, "lr": 0.1, "train/loss": 2.0, "valid/loss": 3.0})
    metrics.append(tmp_path / metrics.METRICS_FILE, {"update": 6, "lr": 0.0, "train/loss": 1.0})
    assert not is_finished(job)
    write_training(job, facts(job.key))
    assert is_finished(job)
    found = read_training(tmp_path)
    assert (found.updates, found.device, found.audio_seconds) == (6, "cpu", 9.0)
    assert found.metrics == {"train/loss": 1.0, "valid/loss": 3.0}
    assert found.model_dump(mode="json") == read_json(tmp_path / TRAINING_FILE)


def test_the_model_of_another_job_does_not_count_as_finished(tmp_path: Path) -> None:
    job = fakes.job(tmp_path)
    write_training(job, facts("another"))
    assert not is_finished(job)


def test_facts_of_an_unfinished_training_are_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_training(tmp_path)
