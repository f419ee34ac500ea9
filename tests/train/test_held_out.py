"""The loss of single utterances: together they are the validation loss, and each depends on itself alone."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import pytest
import torch

from tests.staircases import NUM_CLUSTERS, job_of, write_corpus
from wavlm.engine.interrupts import watchdog
from wavlm.engine.ranks import Ranks
from wavlm.errors import BadDataError
from wavlm.execution.job import LabelledShards, TrainJob
from wavlm.execution.stop import StopRequest
from wavlm.loader.validation import make_validation
from wavlm.nn import WavLM, load_model, save_model
from wavlm.train.held_out import choose_held_out, measure_losses
from wavlm.train.masked_prediction import MaskedPredictionSums
from wavlm.train.validation import validate

ALONE = Ranks(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelledShards, ...]:
    folder = tmp_path_factory.mktemp("corpora")
    return (write_corpus(folder, "first", 9), write_corpus(folder, "second", 3))


@pytest.fixture
def job(data: tuple[LabelledShards, ...], tmp_path: Path) -> TrainJob:
    made = job_of(data, tmp_path)
    # So short that each micro-batch of validation is one utterance, which is then cropped to nothing but itself.
    train = made.train.model_copy(update={"max_crop_seconds": 1.4, "group_seconds": 1.5, "unmasked_weight": 0.3})
    torch.manual_seed(1)
    save_model(WavLM(made.network, NUM_CLUSTERS), tmp_path / "model")
    return made.model_copy(update={"train": train})


def test_the_utterances_together_have_the_validation_loss(job: TrainJob) -> None:
    chosen = choose_held_out(job.data, 1000)
    assert [item.key for item in chosen] == [
        f"{name}-{number:03d}" for name in ("first", "second") for number in range(6)
    ]
    total = MaskedPredictionSums()
    for sums in measure_losses(job.out / "model", chosen, job.train):
        total = total.plus(sums)
    with StopRequest() as stop, watchdog(compiles=False) as dog:
        network = load_model(job.out / "model")
        expected = validate(job, network, make_validation(job, "clean")(), ALONE, "valid", (stop, dog))
    assert expected
    for name, value in total.metrics("valid").items():
        assert value == pytest.approx(expected[name], rel=1e-6), name
    assert total.masked_frames > 200


def test_an_utterance_has_the_same_loss_whatever_else_is_chosen(job: TrainJob) -> None:
    everything = choose_held_out(job.data, 1000)
    few = choose_held_out(job.data, 5)
    assert len(few) == 5
    assert set(few) < set(everything)
    assert few == choose_held_out(job.data, 5)
    losses = dict(zip(everything, measure_losses(job.out / "model", everything, job.train), strict=True))
    for item, found in zip(few, measure_losses(job.out / "model", few, job.train), strict=True):
        assert astuple(found) == astuple(losses[item])


def test_labels_of_other_shards_are_refused(job: TrainJob) -> None:
    mixed = LabelledShards(shards=job.data[0].shards, labels=job.data[1].labels)
    with pytest.raises(BadDataError, match="LABEL_MISMATCH"):
        measure_losses(job.out / "model", choose_held_out([mixed], 3), job.train)
