"""Validation: the clean valid split and the fixed mixtures, the same every time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.staircases import NUM_CLUSTERS, digest, job_of, levels, write_corpus
from wavlm.execution.job import LabelledShards, TrainJob
from wavlm.loader.batch import Batch, PackedBatch
from wavlm.loader.masking import Spans
from wavlm.loader.validation import make_validation, validation_batches
from wavlm.mixing.build import build_mixtures
from wavlm.rng import seed_for
from wavlm.shards.index import index_path
from wavlm.specs import EffectSpec, MixSpec, MixturesSpec


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelledShards, ...]:
    folder = tmp_path_factory.mktemp("corpora")
    return (write_corpus(folder, "first", 30), write_corpus(folder, "second", 13))


CPU = torch.device("cpu")


def unpack(batches: Iterator[PackedBatch]) -> list[Batch]:
    return [batch.to(CPU) for batch in batches]


@pytest.fixture
def job(data: tuple[LabelledShards, ...], tmp_path: Path) -> TrainJob:
    return job_of(data, tmp_path)


def test_clean_validation_is_the_valid_split_from_its_beginning(job: TrainJob) -> None:
    batches = unpack(validation_batches(job, "clean"))
    assert sorted(key for batch in batches for key in batch.keys) == [
        *(f"first-{n:03d}" for n in range(6)),
        *(f"second-{n:03d}" for n in range(6)),
    ]
    for batch in batches:
        assert torch.equal(levels(batch), batch.labels)
        for key, row in zip(batch.keys, batch.labels, strict=True):
            whole = np.random.default_rng(int(key[-3:])).integers(0, NUM_CLUSTERS, 160)
            assert row[:20].tolist() == whole[:20].tolist()


@pytest.mark.parametrize("equalise", [False, True])
def test_masks_of_validation_depend_on_the_utterance_and_on_no_epoch(job: TrainJob, equalise: bool) -> None:
    mask = job.train.mask.model_copy(update={"equalise": equalise})
    chosen = job.model_copy(update={"train": job.train.model_copy(update={"mask": mask})})
    num_batches = 0
    for batch in unpack(validation_batches(chosen, "clean")):
        names = [seed_for(job.train.seed, "mask", "valid", key) for key in batch.keys]
        expected = Spans(batch.labels.shape[1], mask, np.array(names, np.uint64))
        assert torch.equal(batch.mask, expected.masks(CPU))
        num_batches += 1
    assert num_batches > 1


def test_validation_is_the_same_every_time_and_shared_by_ranks(job: TrainJob) -> None:
    whole = [digest(batch) for batch in unpack(validation_batches(job, "clean"))]
    shares = [[digest(batch) for batch in unpack(validation_batches(job, "clean", rank, 2))] for rank in (0, 1)]
    assert [shares[number % 2][number // 2] for number in range(len(whole))] == whole


def test_a_second_validation_reads_no_index(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path, "alone", 12)
    batches = make_validation(job_of((corpus,), tmp_path), "clean")
    first = [digest(batch) for batch in unpack(batches())]
    index_path(corpus.shards).unlink()
    assert first
    assert [digest(batch) for batch in unpack(batches())] == first


@pytest.mark.parametrize(("number", "name"), [(0, "first"), (1, "second")])
def test_the_valid_split_of_one_corpus_alone(job: TrainJob, number: int, name: str) -> None:
    """The same audio and masks as in the whole split, shared by the ranks."""
    batches = make_validation(job, "clean")
    found = unpack(batches(number))
    assert sorted(key for batch in found for key in batch.keys) == [f"{name}-{n:03d}" for n in range(6)]
    for batch in found:
        assert torch.equal(levels(batch), batch.labels)
    shares = [key for rank in (0, 1) for batch in make_validation(job, "clean", rank, 2)(number) for key in batch.keys]
    assert sorted(shares) == sorted(key for batch in found for key in batch.keys)


def test_without_mixtures_there_is_no_mixed_validation(job: TrainJob) -> None:
    assert list(validation_batches(job, "mixed")) == []


@pytest.fixture(scope="module")
def quiet_mixtures(data: tuple[LabelledShards, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of both corpora, so quiet that the staircase can still be read off the mixtures."""
    out = tmp_path_factory.mktemp("mixtures")
    mix = MixSpec(name="quiet", probability=0.2, speech_ratio_db=(60.0, 70.0))
    spec = MixturesSpec(num_utterances=12, max_seconds=1.5)
    build_mixtures(spec, mix, [item.shards for item in data], [], [], out)
    return out


@pytest.mark.slow
def test_mixed_validation_has_the_labels_of_the_primaries(job: TrainJob, quiet_mixtures: Path) -> None:
    mixed = job.model_copy(update={"mixtures": quiet_mixtures})
    batches = unpack(validation_batches(mixed, "mixed"))
    for batch in batches:
        assert torch.equal(levels(batch), batch.labels)
    clean = {key[6:] for batch in batches for key in batch.keys}
    assert clean == {f"{name}-{n:03d}" for name in ("first", "second") for n in range(6)}


@pytest.mark.slow
def test_mixtures_of_corpora_that_are_not_trained_on_are_left_out(job: TrainJob, quiet_mixtures: Path) -> None:
    only_first = job.model_copy(update={"mixtures": quiet_mixtures, "data": job.data[:1]})
    keys = [key[6:] for batch in validation_batches(only_first, "mixed") for key in batch.keys]
    assert sorted(keys) == [f"first-{n:03d}" for n in range(6)]


@pytest.mark.slow
def test_an_effect_that_a_mix_lists_twice_counts_once_per_mixture(job: TrainJob, tmp_path: Path) -> None:
    gain = EffectSpec(name="gain", probability=1.0, minimum=-2.0, maximum=-1.0)
    mix = MixSpec(name="twice", probability=0.2, effects=(gain, gain))
    out = tmp_path / "mixtures"
    out.mkdir()
    build_mixtures(MixturesSpec(num_utterances=4, max_seconds=1.5), mix, [job.data[0].shards], [], [], out)
    batches = list(validation_batches(job.model_copy(update={"mixtures": out}), "mixed"))
    assert [batch.mixing.gain for batch in batches] == [batch.mixing.utterances for batch in batches]
    assert sum(batch.mixing.gain for batch in batches) == 4
