"""training.json: read back as typed facts, with the last value of each metric of the curve."""

import errno
import os
from pathlib import Path

import pytest

from tests.train import fakes
from wavlm.errors import BadDataError
from wavlm.execution import metrics
from wavlm.storage.digested import Digested
from wavlm.storage.files import read_json
from wavlm.train.facts import TRAINING_FILE, TrainingFacts, is_finished, read_training, write_training

OURS = ("digest", "files")  # of the file, not of the facts


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
    written = read_json(tmp_path / TRAINING_FILE)
    assert found.model_dump(mode="json") == {key: value for key, value in written.items() if key not in OURS}


def test_the_model_of_another_job_does_not_count_as_finished(tmp_path: Path) -> None:
    job = fakes.job(tmp_path)
    write_training(job, facts("another"))
    assert not is_finished(job)


def test_facts_of_an_unfinished_training_are_missing(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="RECORD_BROKEN"):
        read_training(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "network.json", "metrics.jsonl", "training.json"])
def test_a_summary_with_the_right_key_is_not_enough(tmp_path: Path, name: str) -> None:
    """People reported: a stopped training whose files were damaged afterwards counted as finished."""
    job = fakes.job(tmp_path)
    for other in ("model.safetensors", "network.json"):
        (tmp_path / other).write_text("words")
    metrics.append(tmp_path / metrics.METRICS_FILE, {"update": 6})
    write_training(job, facts(job.key))
    assert is_finished(job)
    whole = (tmp_path / name).read_bytes()
    for damaged in (whole[:-2] + b"x" + whole[-1:], whole[: len(whole) // 2], b"", b"[]"):
        (tmp_path / name).write_bytes(damaged)
        assert not is_finished(job)
    (tmp_path / name).unlink()
    assert not is_finished(job)


def test_a_file_that_cannot_be_read_now_is_not_said_to_be_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no file descriptor left a finished model was trained again, and its summary called broken."""
    job = fakes.job(tmp_path)
    write_training(job, facts(job.key))

    def fail(path: Path) -> Digested:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    for module in ("wavlm.storage.summaries", "wavlm.train.facts"):
        monkeypatch.setattr(f"{module}.read_digested", fail)
    with pytest.raises(OSError, match="Too many open files"):
        is_finished(job)
    with pytest.raises(OSError, match="Too many open files"):
        read_training(tmp_path)


def test_a_summary_of_an_earlier_version_that_names_no_files_is_written_again(tmp_path: Path) -> None:
    job = fakes.job(tmp_path)
    (tmp_path / TRAINING_FILE).write_text(facts(job.key).model_dump_json())
    assert not is_finished(job)
    assert read_training(tmp_path).key == job.key  # of a model that is sealed
