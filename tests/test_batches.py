"""Batches: aligned to a frame, never padded, the same for any workers, ranks and restarts."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.mini_shards import Spoken, write_shards
from wavlm.batches import Batch, loader, plan_of, validation_batches
from wavlm.epochs import Position
from wavlm.errors import BadDataError
from wavlm.frames import num_frames
from wavlm.jobs import LabelledShards, TrainJob
from wavlm.mixtures import build_mixtures
from wavlm.shards import read_index
from wavlm.specs import (
    ConvLayer,
    EffectSpec,
    MixSpec,
    MixturesSpec,
    NetworkSpec,
    Runtime,
    TrainSpec,
    paper_conv_layers,
)
from wavlm.targets import Header, write_labels

NUM_CLUSTERS = 100


def staircase(key: str, frames: int, seed: int, split: str = "train") -> tuple[Spoken, np.ndarray]:
    """A waveform whose level in each hop of 320 samples is the frame's label, and the labels."""
    labels = np.random.default_rng(seed).integers(0, NUM_CLUSTERS, frames).astype(np.uint16)
    levels = (labels.astype(np.float32) + 1) / 256  # exact in 16 bits
    extra = np.full(80 + seed % 240, 0.25, np.float32)  # rest of the last frame and a bit more
    return Spoken(key, "speaker", np.concatenate([levels.repeat(320), extra]), None, split), labels


def write_corpus(folder: Path, name: str, count: int, valid: int = 6) -> LabelledShards:
    """Shards of staircases and their labels, at 100 Hz, the odd ones wrong on purpose."""
    rng = np.random.default_rng(len(name))
    made = [
        staircase(
            f"{name}-{number:03d}",
            int(rng.integers(50, 160)),
            number,
            "valid" if number < valid else "train",
        )
        for number in range(count + valid)
    ]
    shards = write_shards(folder / name / "shards", [spoken for spoken, _ in made], per_shard=8)
    labels_of = {spoken.key: labels for spoken, labels in made}
    samples_of = {spoken.key: len(spoken.waveform) for spoken, _ in made}
    write_all_labels(shards, folder / name / "labels", labels_of, samples_of)
    return LabelledShards(shards=shards, labels=folder / name / "labels")


def write_all_labels(
    shards: Path, out: Path, labels_of: dict[str, np.ndarray], samples_of: dict[str, int]
) -> None:
    out.mkdir(parents=True)
    index = read_index(shards)
    listing = json.loads((shards / "shards.json").read_text())
    for shard, facts in listing.items():
        keys = index.keys[index.shards == shard]
        header = Header(facts["sha256"], "0" * 64, '"mfcc"', 100, NUM_CLUSTERS)
        at_100_hz = []
        for key in keys:
            twice = labels_of[key].repeat(2)
            twice[1::2] = 99 - twice[1::2]
            at_100_hz.append(twice[: (samples_of[key] - 400) // 160 + 1])
        write_labels(out / f"{Path(shard).stem}.parquet", list(keys), at_100_hz, header)
    (out / "labels.json").write_text("{}")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelledShards, ...]:
    folder = tmp_path_factory.mktemp("corpora")
    return (write_corpus(folder, "first", 30), write_corpus(folder, "second", 13))


def job_of(data: tuple[LabelledShards, ...], out: Path, **changes: object) -> TrainJob:
    job = TrainJob(
        key="0" * 12,
        out=out,
        network=NetworkSpec(
            extractor_norm="group",
            norm_first=False,
            normalize_waveform=False,
            conv_layers=paper_conv_layers(8),
            width=16,
            ffn_width=16,
            num_layers=1,
            num_heads=2,
        ),
        train=TrainSpec(
            updates=10,
            warmup_updates=1,
            peak_lr=1e-3,
            batch_seconds=24.0,
            group_seconds=6.0,
            max_crop_seconds=2.5,
        ),
        num_clusters=NUM_CLUSTERS,
        labels_per_frame=2,
        data=data,
        runtime=Runtime(workers=0),
    )
    return job.model_copy(update=changes)


@pytest.fixture
def job(data: tuple[LabelledShards, ...], tmp_path: Path) -> TrainJob:
    return job_of(data, tmp_path)


def levels(batch: Batch) -> torch.Tensor:
    """The label of each frame as the waveform says it: (B, F)."""
    return (batch.waveforms[:, :-80:320] * 256 - 1).round().long()


def take(
    job: TrainJob, position: Position, count: int, rank: int = 0, world: int = 1
) -> list[Batch]:
    return list(islice(loader(job, position, rank, world), count))


def digest(batch: Batch) -> str:
    """Everything in a batch."""
    parts = (batch.waveforms.numpy(), batch.labels.numpy(), batch.mask.numpy())
    whole = hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts))
    whole.update(repr((batch.keys, batch.position, batch.after)).encode())
    return whole.hexdigest()


def test_labels_fit_the_crop_to_the_frame(job: TrainJob) -> None:
    starts = set()
    for batch in take(job, Position(), 60):
        assert torch.equal(levels(batch), batch.labels)
        starts |= {tuple(row[:4].tolist()) for row in batch.labels}
    assert len(starts) > 60, "crops always began at the same place"


def test_nothing_is_padded(job: TrainJob) -> None:
    for batch in take(job, Position(), 40):
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
        groups = plan_of(job).epoch(epoch).num_groups
        keys = [key for batch in take(job, Position(epoch), groups) for key in batch.keys]
        expected = [f"first-{n:03d}" for n in range(6, 36)] + [
            f"second-{n:03d}" for n in range(6, 19)
        ]
        assert sorted(keys) == expected


def test_masks_cover_about_as_much_as_the_paper_says_and_change_each_epoch(job: TrainJob) -> None:
    long = job.model_copy(update={"train": job.train.model_copy(update={"batch_seconds": 6.0})})
    groups = plan_of(long).epoch(0).num_groups
    masks: list[dict[str, torch.Tensor]] = [{}, {}]
    for epoch in (0, 1):
        for batch in take(long, Position(epoch), groups):
            masks[epoch] |= dict(zip(batch.keys, batch.mask, strict=True))
    share = torch.cat(list(masks[0].values())).float().mean()
    assert 0.50 < share < 0.62  # docs/algorithm.md section 6
    differ = sum(masks[0][key].tolist() != masks[1][key].tolist() for key in masks[0])
    assert differ == len(masks[0])


@pytest.mark.slow
def test_workers_ranks_and_restarts_change_nothing(job: TrainJob) -> None:
    mixing = job.model_copy(update={"mix": MixSpec(name="half", probability=0.5)})
    unbroken = take(mixing, Position(), 4 * 20)  # 20 updates of 4 groups
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
    for before, after in zip(take(job, Position(), 20), take(mixing, Position(), 20), strict=True):
        assert before.keys == after.keys
        assert torch.equal(before.labels, after.labels)
        assert torch.equal(before.mask, after.mask)
        changed += int((before.waveforms != after.waveforms).any(dim=1).sum())
    assert changed > 40


def test_loading_leaves_the_global_generators_alone(job: TrainJob) -> None:
    effects = tuple(EffectSpec(name=name, probability=1.0) for name in ("gain", "gaussian_snr"))
    mixing = job.model_copy(update={"mix": MixSpec(name="all", probability=1.0, effects=effects)})
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    before = random.getstate()
    take(mixing, Position(), 3)
    take(mixing.model_copy(update={"runtime": Runtime(workers=1)}), Position(), 3)
    assert torch.equal(torch.rand(3), expected)
    assert random.getstate() == before


def test_another_seed_gives_another_order(job: TrainJob) -> None:
    other = job.model_copy(update={"train": job.train.model_copy(update={"seed": 1})})
    assert [b.keys for b in take(job, Position(), 8)] != [
        b.keys for b in take(other, Position(), 8)
    ]
    assert plan_of(job).fingerprint != plan_of(other).fingerprint


def test_ranks_that_cannot_share_an_update_are_refused_at_once(job: TrainJob) -> None:
    with pytest.raises(ValueError, match=r"4 groups .* 3 processes; possible: 1, 2, 4"):
        loader(job, Position(), 0, 3)


def test_other_convolutions_than_the_labels_are_refused(job: TrainJob) -> None:
    layers = (*paper_conv_layers(8)[:-1], ConvLayer(channels=8, kernel=4, stride=2))
    network = job.network.model_copy(update={"conv_layers": layers})
    with pytest.raises(ValueError, match=r"network makes 0 frames of 400 samples.*conv_layers"):
        loader(job.model_copy(update={"network": network}), Position())


@pytest.mark.parametrize("workers", [0, 1])
def test_damage_is_an_error_that_names_the_utterance_and_its_shard(
    tmp_path: Path, workers: int
) -> None:
    corpus = write_corpus(tmp_path, "damaged", 8, valid=0)
    tar = corpus.shards / "train-000000.tar"
    index = read_index(corpus.shards)
    blob = bytearray(tar.read_bytes())
    middle = int(index.offsets[2] + index.sizes[2] // 2)
    blob[middle : middle + 40] = b"\0" * 40
    tar.write_bytes(blob)
    job = job_of((corpus,), tmp_path, runtime=Runtime(workers=workers))
    with pytest.raises(BadDataError, match=r"damaged-002 of .*train-000000\.tar") as caught:
        take(job, Position(), 40)
    assert caught.value.exit_code == 65
    assert caught.value.code == "AUDIO_CORRUPT"


PROGRAM = """
import sys
from multiprocessing import active_children
from pathlib import Path
from wavlm.batches import loader
from wavlm.epochs import Position
from wavlm.jobs import read_job

def main():
    batches = loader(read_job(Path(sys.argv[1])), Position())
    next(batches)
    print(*[child.pid for child in active_children()], flush=True)
    sys.stdin.readline()
    for _ in range(40):  # more than the workers have prepared
        next(batches)
    print("delivered", flush=True)
    raise RuntimeError("with a traceback that keeps the loader alive")

main()
"""


@pytest.fixture
def trainer(job: TrainJob, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has begun to load with two workers."""
    path = tmp_path / "job.json"
    path.write_text(job.model_copy(update={"runtime": Runtime(workers=2)}).model_dump_json())
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as process:
        yield process
        process.kill()


def worker_pids(trainer: subprocess.Popen[str]) -> list[int]:
    assert trainer.stdout is not None
    return [int(pid) for pid in trainer.stdout.readline().split()]


@pytest.mark.slow
def test_workers_die_with_their_parent(trainer: subprocess.Popen[str]) -> None:
    workers = worker_pids(trainer)
    assert len(workers) == 2
    trainer.kill()
    deadline = time.monotonic() + 20
    while any(is_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_alive(pid) for pid in workers)


@pytest.mark.slow
def test_only_the_trainer_ends_its_workers_and_it_does_so_at_its_exit(
    trainer: subprocess.Popen[str],
) -> None:
    workers = worker_pids(trainer)
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    output, errors = trainer.communicate("go on\n", timeout=60)
    assert output == "delivered\n"
    assert "keeps the loader alive" in errors
    assert trainer.returncode == 1
    assert not any(is_alive(pid) for pid in workers)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_clean_validation_is_the_valid_split_from_its_beginning(job: TrainJob) -> None:
    batches = list(validation_batches(job, "clean"))
    assert sorted(key for batch in batches for key in batch.keys) == [
        *(f"first-{n:03d}" for n in range(6)),
        *(f"second-{n:03d}" for n in range(6)),
    ]
    for batch in batches:
        assert torch.equal(levels(batch), batch.labels)
        for key, row in zip(batch.keys, batch.labels, strict=True):
            whole = np.random.default_rng(int(key[-3:])).integers(0, NUM_CLUSTERS, 160)
            assert row[:20].tolist() == whole[:20].tolist()


def test_validation_is_the_same_every_time_and_shared_by_ranks(job: TrainJob) -> None:
    whole = [digest(batch) for batch in validation_batches(job, "clean")]
    shares = [[digest(b) for b in validation_batches(job, "clean", rank, 2)] for rank in (0, 1)]
    assert [shares[number % 2][number // 2] for number in range(len(whole))] == whole


def test_without_mixtures_there_is_no_mixed_validation(job: TrainJob) -> None:
    assert list(validation_batches(job, "mixed")) == []


@pytest.fixture(scope="module")
def quiet_mixtures(
    data: tuple[LabelledShards, ...], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Of both corpora, so quiet that the staircase can still be read off the mixtures."""
    out = tmp_path_factory.mktemp("mixtures")
    mix = MixSpec(name="quiet", probability=0.2, speech_ratio_db=(60.0, 70.0))
    spec = MixturesSpec(num_utterances=12, max_seconds=1.5)
    build_mixtures(spec, mix, [item.shards for item in data], [], [], out)
    return out


@pytest.mark.slow
def test_mixed_validation_has_the_labels_of_the_primaries(
    job: TrainJob, quiet_mixtures: Path
) -> None:
    mixed = job.model_copy(update={"mixtures": quiet_mixtures})
    batches = list(validation_batches(mixed, "mixed"))
    for batch in batches:
        assert torch.equal(levels(batch), batch.labels)
    clean = {key[6:] for batch in batches for key in batch.keys}
    assert clean == {f"{name}-{n:03d}" for name in ("first", "second") for n in range(6)}


@pytest.mark.slow
def test_mixtures_of_corpora_that_are_not_trained_on_are_left_out(
    job: TrainJob, quiet_mixtures: Path
) -> None:
    only_first = job.model_copy(update={"mixtures": quiet_mixtures, "data": job.data[:1]})
    keys = [key[6:] for batch in validation_batches(only_first, "mixed") for key in batch.keys]
    assert sorted(keys) == [f"first-{n:03d}" for n in range(6)]
