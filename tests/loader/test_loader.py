"""Training batches: aligned to frames, never padded, the same for any number of workers, ranks and restarts."""

from __future__ import annotations

import hashlib
import pickle
import random
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.mini_shards import Spoken, write_shards
from tests.staircases import digest, job_of, levels, write_corpus
from wavlm.errors import BadDataError
from wavlm.execution.job import LabelledShards, TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.loader.batch import Batch, PackedBatch
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import NotDeliveredError, loader, make_sampler
from wavlm.loader.samples import DrawnMicroBatch, MicroBatchArrays, TrainingSamples
from wavlm.shards import read_index
from wavlm.specs import ConvLayer, EffectSpec, MixSpec, paper_conv_layers
from wavlm.specs.shapes import num_frames


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelledShards, ...]:
    folder = tmp_path_factory.mktemp("corpora")
    return (write_corpus(folder, "first", 30), write_corpus(folder, "second", 13))


@pytest.fixture
def job(data: tuple[LabelledShards, ...], tmp_path: Path) -> TrainJob:
    return job_of(data, tmp_path)


CPU = torch.device("cpu")


def take_packed(job: TrainJob, position: SamplerState, count: int, rank: int = 0, world: int = 1) -> list[PackedBatch]:
    return list(islice(loader(job, position, rank, world), count))


def take(job: TrainJob, position: SamplerState, count: int, rank: int = 0, world: int = 1) -> list[Batch]:
    return [packed.to(CPU) for packed in take_packed(job, position, count, rank, world)]


def test_labels_fit_the_crop_to_the_frame(job: TrainJob) -> None:
    starts = set()
    for batch in take(job, SamplerState(), 60):
        assert torch.equal(levels(batch), batch.labels)
        starts |= {tuple(row[:4].tolist()) for row in batch.labels}
    assert len(starts) > 60, "crops always began at the same place"


def test_nothing_is_padded(job: TrainJob) -> None:
    for batch in take(job, SamplerState(), 40):
        utterances, samples = batch.waveforms.shape
        assert batch.labels.shape == batch.mask.shape == (utterances, num_frames(samples))
        assert len(batch.keys) == utterances
        assert samples <= 2.5 * 16000
        assert batch.seconds == pytest.approx(utterances * samples / 16000)
        assert batch.seconds <= 6.0
        # A staircase has no zeros, so a zero could only be padding.
        assert (batch.waveforms > 0).all()


def test_every_training_utterance_comes_once_an_epoch(job: TrainJob) -> None:
    for epoch in (0, 1):
        num_micro_batches = make_sampler(job).epoch(epoch).num_micro_batches
        keys = [key for batch in take(job, SamplerState(epoch), num_micro_batches) for key in batch.keys]
        expected = [f"first-{n:03d}" for n in range(6, 36)] + [f"second-{n:03d}" for n in range(6, 19)]
        assert sorted(keys) == expected


def test_masks_cover_about_as_much_as_the_paper_says_and_change_each_epoch(job: TrainJob) -> None:
    long = job.model_copy(update={"train": job.train.model_copy(update={"batch_seconds": 6.0})})
    num_micro_batches = make_sampler(long).epoch(0).num_micro_batches
    masks: list[dict[str, torch.Tensor]] = [{}, {}]
    for epoch in (0, 1):
        for batch in take(long, SamplerState(epoch), num_micro_batches):
            masks[epoch] |= dict(zip(batch.keys, batch.mask, strict=True))
    share = torch.cat(list(masks[0].values())).float().mean()
    assert 0.50 < share < 0.62  # docs/algorithm.md section 6
    differ = sum(masks[0][key].tolist() != masks[1][key].tolist() for key in masks[0])
    assert differ == len(masks[0])


@pytest.mark.slow
def test_workers_ranks_and_restarts_change_nothing(job: TrainJob) -> None:
    mixing = job.model_copy(update={"mix": MixSpec(name="half", probability=0.5)})
    unbroken = take(mixing, SamplerState(), 4 * 20)  # 20 updates of 4 micro-batches
    expected = [digest(batch) for batch in unbroken]
    assert len(set(expected)) == len(expected)
    rng = np.random.default_rng(0)
    for workers in (0, 1, 2):
        again = mixing.model_copy(update={"runtime": Runtime(workers=workers)})
        for world in (1, 2):
            for stop in rng.choice(18, 9, replace=False):  # 54 stops in all
                position = unbroken[4 * stop + 3].after
                wanted = expected[4 * (stop + 1) : 4 * (stop + 2)]
                for rank in range(world):
                    found = take(again, position, 4 // world, rank, world)
                    assert [digest(batch) for batch in found] == wanted[rank::world]


def test_mixing_adds_sound_and_leaves_labels_alone(job: TrainJob) -> None:
    mixing = job.model_copy(update={"mix": MixSpec(name="all", probability=1.0)})
    changed = 0
    for before, after in zip(take(job, SamplerState(), 20), take(mixing, SamplerState(), 20), strict=True):
        assert before.keys == after.keys
        assert torch.equal(before.labels, after.labels)
        assert torch.equal(before.mask, after.mask)
        changed += int((before.waveforms != after.waveforms).any(dim=1).sum())
    assert changed > 40


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(9)
    clips = {name: rng.integers(-8000, 8000, n) for name, n in (("long", 50000), ("short", 500))}
    spoken = [Spoken(key, "", (c / 32768).astype(np.float32)) for key, c in clips.items()]
    return write_shards(tmp_path_factory.mktemp("noise") / "shards", spoken)


CLIPPING = EffectSpec(name="clipping", probability=0.5, minimum=0.02, maximum=0.1)
MIXES = {
    "plain": None,
    "speech": MixSpec(name="a", probability=0.5),
    "noise": MixSpec(name="a", probability=0.7, noise_probability=0.5),
    "effects": MixSpec(name="a", probability=0.5, noise_probability=0.5, effects=(CLIPPING,)),
}


# These may change only with the format of Model: an old checkpoint would continue with other batches.
@pytest.mark.parametrize(
    ("mix", "expected"),
    [
        ("plain", "f1ce5ece69f83cd7"),
        ("speech", "c41b5e2edd3bad86"),
        ("noise", "f5da9bb164ca2630"),
        ("effects", "bcbdcaebecab8bfc"),
    ],
)
def test_no_bit_of_a_batch_changes(job: TrainJob, noise: Path, mix: str, expected: str) -> None:
    mixing = job.model_copy(update={"mix": MIXES[mix], "noise": (noise,)})
    whole = hashlib.sha256()
    for batch in take(mixing, SamplerState(), 24):
        whole.update(digest(batch).encode())
    assert whole.hexdigest()[:16] == expected


@pytest.mark.parametrize("mix", MIXES)
def test_a_batch_is_unpacked_to_the_bits_that_numpy_gives(job: TrainJob, noise: Path, mix: str) -> None:
    mixing = job.model_copy(update={"mix": MIXES[mix], "noise": (noise,)})
    samples, num_changes = TrainingSamples(mixing), 0
    for packed in take_packed(mixing, SamplerState(), 12):
        micro_batch = make_sampler(mixing).epoch(packed.position.epoch).micro_batch(packed.position.group)
        (arrays,) = map(samples.make, samples.draw([micro_batch]))
        batch = packed.to(CPU)
        assert batch.waveforms.dtype == torch.float32
        np.testing.assert_array_equal(batch.waveforms.numpy(), arrays.waveforms)
        assert torch.equal(packed.audio.waveforms(), batch.waveforms)
        assert torch.equal(batch.labels, packed.labels)
        assert batch.num_masked == batch.mask.sum()
        assert (batch.keys, batch.position, batch.after) == (
            packed.keys,
            packed.position,
            packed.after,
        )
        assert batch.seconds == packed.seconds
        num_changes += len(arrays.changes)
    assert (num_changes > 0) == (mix != "plain")


def test_what_is_drawn_for_a_micro_batch_depends_on_no_other(job: TrainJob) -> None:
    samples = TrainingSamples(job)
    last, sampler = make_sampler(job).epoch(0).num_micro_batches - 1, make_sampler(job)
    micro_batches = [
        sampler.epoch(0).micro_batch(last),
        sampler.epoch(1).micro_batch(0),
        sampler.epoch(1).micro_batch(1),
    ]
    together = samples.draw(micro_batches)
    for micro_batch, drawn in zip(micro_batches, together, strict=True):
        (alone,) = samples.draw([micro_batch])
        assert drawn.micro_batch is micro_batch
        assert drawn.keys == alone.keys == tuple(samples.utterances.keys[micro_batch.utterances])
        assert drawn.first_frames == alone.first_frames
        np.testing.assert_array_equal(drawn.mixing, alone.mixing)
        np.testing.assert_array_equal(drawn.mask_seeds, alone.mask_seeds)
        assert samples.make(drawn).labels.shape[1] == micro_batch.num_frames
    assert len({number for drawn in together for number in drawn.mixing.flat}) == sum(
        drawn.mixing.size for drawn in together
    )


def test_two_bytes_per_sample_go_from_a_worker_to_the_trainer(job: TrainJob) -> None:
    micro_batch = make_sampler(job).epoch(0).micro_batch(0)
    samples = TrainingSamples(job)
    (arrays,) = map(samples.make, samples.draw([micro_batch]))
    assert len(pickle.dumps(arrays)) < 2.1 * arrays.pcm.size


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_an_effect_that_gives_infinite_samples_is_an_error_that_names_the_utterance(
    job: TrainJob, tmp_path: Path
) -> None:
    # No spec allows such a gain.
    far_too_loud = EffectSpec.model_construct(name="gain", probability=1.0, minimum=900.0, maximum=900.0)
    mixing = job.model_copy(
        update={"mix": MixSpec(name="a", probability=0.0).model_copy(update={"effects": (far_too_loud,)})}
    )
    with pytest.raises(BadDataError, match=r"NOT_FINITE.*not finite; at (first|second)-\d+"):
        take(mixing, SamplerState(), 1)


def test_loading_leaves_the_global_generators_alone(job: TrainJob) -> None:
    effects = tuple(EffectSpec(name=name, probability=1.0) for name in ("gain", "gaussian_snr"))
    mixing = job.model_copy(update={"mix": MixSpec(name="all", probability=1.0, effects=effects)})
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    for _ in range(3):  # a thread that another test has left may draw numbers, too
        before = random.getstate()
        take(mixing, SamplerState(), 3)
        take(mixing.model_copy(update={"runtime": Runtime(workers=1)}), SamplerState(), 3)
        if random.getstate() == before:
            break
    assert torch.equal(torch.rand(3), expected)
    assert random.getstate() == before


def test_another_seed_gives_another_order(job: TrainJob) -> None:
    other = job.model_copy(update={"train": job.train.model_copy(update={"seed": 1})})
    assert [b.keys for b in take(job, SamplerState(), 8)] != [b.keys for b in take(other, SamplerState(), 8)]
    assert make_sampler(job).fingerprint != make_sampler(other).fingerprint


def test_ranks_that_cannot_share_an_update_are_refused_at_once(job: TrainJob) -> None:
    with pytest.raises(ValueError, match=r"4 micro-batches .* 3 processes; possible: 1, 2, 4"):
        loader(job, SamplerState(), 0, 3)


def test_an_utterance_that_is_too_short_for_the_masks_is_named_by_its_key(job: TrainJob) -> None:
    train = job.train.model_copy(update={"mask": job.train.mask.model_copy(update={"length": 1000})})
    keys = {key for item in job.data for key in read_index(item.shards).keys}
    with pytest.raises(ValueError, match=r"masks need 1003; at utterance ") as caught:
        make_sampler(job.model_copy(update={"train": train}))
    assert str(caught.value).partition("at utterance ")[2].partition(";")[0] in keys


def test_other_convolutions_than_the_labels_are_refused(job: TrainJob) -> None:
    layers = (*paper_conv_layers(8)[:-1], ConvLayer(channels=8, kernel=4, stride=2))
    network = job.network.model_copy(update={"conv_layers": layers})
    with pytest.raises(BadDataError, match=r"labels for frames of 400 .*, the network makes .* 720 samples"):
        loader(job.model_copy(update={"network": network}), SamplerState())


def test_a_batch_of_other_utterances_than_planned_is_an_error(job: TrainJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def others(self: TrainingSamples, drawn: DrawnMicroBatch) -> MicroBatchArrays:
        arrays = made(self, drawn)
        return replace(arrays, utterances=arrays.utterances[::-1])

    made = TrainingSamples.make
    monkeypatch.setattr(TrainingSamples, "make", others)
    with pytest.raises(NotDeliveredError, match=r"delivered \d utterances that differ from the \d planned ones"):
        take(job, SamplerState(), 8)


@pytest.mark.parametrize("workers", [0, 1])
def test_damage_is_an_error_that_names_the_utterance_and_its_shard(tmp_path: Path, workers: int) -> None:
    corpus = write_corpus(tmp_path, "damaged", 8, valid=0)
    tar = corpus.shards / "train-000000.tar"
    index = read_index(corpus.shards)
    blob = bytearray(tar.read_bytes())
    middle = int(index.offsets[2] + index.sizes[2] // 2)
    blob[middle : middle + 40] = b"\0" * 40
    tar.write_bytes(blob)
    job = job_of((corpus,), tmp_path, runtime=Runtime(workers=workers))
    with pytest.raises(BadDataError, match=r"damaged-002 of .*train-000000\.tar") as caught:
        take(job, SamplerState(), 40)
    assert caught.value.exit_code == 65
    assert caught.value.code == "AUDIO_CORRUPT"


@pytest.mark.parametrize(("gpus", "workers", "loaders"), [(0, 2, 2), (1, 2, 4), (8, 6, 6), (1, 0, 0), (0, 0, 0)])
def test_a_gpu_is_loaded_for_by_four_processes_or_more(gpus: int, workers: int, loaders: int) -> None:
    assert Runtime(gpus=gpus, workers=workers).loaders == loaders
