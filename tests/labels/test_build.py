"""Stage labels: one pass over the shards, and the quality of the labels where utterances have phones."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.mini_shards import Spoken, tones, write_shards
from tests.numerics import num_operations, require_nearest
from tests.tiny_specs import tiny_network
from wavlm.errors import BadDataError
from wavlm.features.extract import ExtractionPlan
from wavlm.features.mfcc import mfcc
from wavlm.labels.build import build_labels
from wavlm.labels.codebook import build_codebook
from wavlm.labels.facts import LabelsFacts, read_labels_facts
from wavlm.labels.files import LabelMismatchError, read_labels
from wavlm.labels.flat import open_flat_labels
from wavlm.labels.part import ShardGroup
from wavlm.labels.quality import JointCounts, label_quality
from wavlm.nn import WavLM, load_model, save_model
from wavlm.shards import stream
from wavlm.specs import (
    CodebookSpec,
    Features,
    HiddenFeatures,
    MfccFeatures,
)
from wavlm.specs.shapes import num_frames
from wavlm.storage.files import sha256_of

pytestmark = pytest.mark.numeric

MFCC = MfccFeatures(type="mfcc")
LAYER = HiddenFeatures(type="hidden", layer=2)
LOCAL_PLAN = ExtractionPlan("cpu", processes=1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
# As on a GPU, in miniature: some shards are one chunk of several batches, some are several chunks.
BATCHED = ExtractionPlan(
    "cpu", processes=1, threads=2, batch_samples=25_000, chunk_samples=30_000, groups_per_process=1
)


def codebook(
    shards_dir: Path,
    out: Path,
    features: Features = MFCC,
    teacher: Path | None = None,
    seed: int = 0,
) -> Path:
    out.mkdir()
    spec = CodebookSpec(features=features, num_clusters=6, sample_frames_per_cluster=40, seed=seed)
    build_codebook(spec, {"tones": shards_dir}, teacher, out, LOCAL_PLAN)
    return out


def label(shards_dir: Path, codebook_dir: Path, out: Path, plan: ExtractionPlan = LOCAL_PLAN) -> LabelsFacts:
    out.mkdir(exist_ok=True)
    return build_labels(codebook_dir, MFCC, shards_dir, None, out, plan)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def shards_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spoken = tones(7) + tones(2, seed=1, split="valid")
    return write_shards(tmp_path_factory.mktemp("shards"), spoken)


@pytest.fixture(scope="module")
def codebook_dir(shards_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return codebook(shards_dir, tmp_path_factory.mktemp("codebook") / "mfcc")


def test_every_frame_gets_the_number_of_its_nearest_centroid(
    tmp_path: Path, shards_dir: Path, codebook_dir: Path
) -> None:
    facts = label(shards_dir, codebook_dir, tmp_path)
    centroids = np.load(codebook_dir / "centroids.npy").astype(np.float64)
    num_utterances = num_labels = 0
    for shard in sorted(shards_dir.glob("*.tar")):
        found = read_labels(tmp_path, shard.name).by_key
        for utterance in stream(shard):
            frames = mfcc(utterance.waveform).astype(np.float64)
            distances = ((frames[:, None] - centroids[None]) ** 2).sum(axis=2)
            largest = float((frames**2).sum(axis=1).max())
            require_nearest(found[utterance.key], distances, largest, 3 * 39)
            num_labels += len(frames)
            num_utterances += 1
    assert (facts.num_utterances, facts.num_labels) == (num_utterances, num_labels)
    assert num_utterances == 9


def test_facts_describe_the_labels(tmp_path: Path, shards_dir: Path, codebook_dir: Path) -> None:
    facts = label(shards_dir, codebook_dir, tmp_path)
    labels = [row for shard in sorted(shards_dir.glob("*.tar")) for row in read_labels(tmp_path, shard.name).labels]
    counts = np.bincount(np.concatenate(labels), minlength=6)
    shares = counts[counts > 0] / counts.sum()
    repeats = np.concatenate([row[1:] == row[:-1] for row in labels]).mean()
    assert facts.used_clusters == (counts > 0).sum()
    assert facts.entropy_bits == pytest.approx(-(shares * np.log2(shares)).sum())
    assert facts.largest_share == pytest.approx(shares.max())
    assert facts.repeated_share == pytest.approx(repeats)
    assert repeats > 0.5  # tones of 100 ms hold their label


def test_quality_is_counted_at_the_frames_of_the_network(tmp_path: Path, shards_dir: Path, codebook_dir: Path) -> None:
    facts = label(shards_dir, codebook_dir, tmp_path)
    pairs = []
    for shard in shards_dir.glob("*.tar"):
        labels = read_labels(tmp_path, shard.name).by_key
        for utterance in stream(shard):
            at_frames = labels[utterance.key][::2]
            assert len(at_frames) == num_frames(len(utterance.waveform))
            pairs.append((utterance.phones, at_frames))
    expected = label_quality(pairs, num_clusters=6)
    assert facts.quality is not None
    assert facts.quality.model_dump() == pytest.approx(expected.model_dump())
    assert json.loads((tmp_path / "quality.json").read_text()) == facts.quality.model_dump()
    assert expected.pnmi > 0.5  # the phones are two tones
    with np.load(tmp_path / "counts.npz", allow_pickle=False) as saved:
        joint = JointCounts(tuple(saved["phones"]), saved["counts"])
    assert joint.phones == ("high", "low")
    assert joint.quality() == expected


def test_a_corpus_without_phones_has_no_quality(tmp_path: Path, codebook_dir: Path) -> None:
    silent = [Spoken(item.key, item.speaker, item.waveform) for item in tones(2)]
    facts = label(write_shards(tmp_path / "shards", silent), codebook_dir, tmp_path / "labels")
    assert facts.quality is None
    assert not (tmp_path / "labels" / "quality.json").exists()


def test_an_interrupted_stage_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, shards_dir: Path, codebook_dir: Path
) -> None:
    label(shards_dir, codebook_dir, tmp_path / "whole")
    label(shards_dir, codebook_dir, tmp_path / "again")
    kept = tmp_path / "again" / "train-000000.parquet"
    before = kept.stat().st_mtime_ns
    for name in (
        "train-000001.parquet",
        "labels.json",
        "quality.json",
        "quality/valid-000000.parquet",
        "valid-000000.parquet",
    ):
        (tmp_path / "again" / name).unlink()
    label(shards_dir, codebook_dir, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "whole")
    assert kept.stat().st_mtime_ns == before  # what was there was not made again


def test_what_an_earlier_attempt_left_of_another_codebook_is_made_again(
    tmp_path: Path, shards_dir: Path, codebook_dir: Path
) -> None:
    label(shards_dir, codebook_dir, tmp_path / "whole")
    other = codebook(shards_dir, tmp_path / "other", seed=7)
    label(shards_dir, other, tmp_path / "again")
    (tmp_path / "again" / "valid-000000.parquet").unlink()  # as if killed before the last shard
    label(shards_dir, codebook_dir, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "whole")


def test_labels_of_shards_that_are_no_longer_there_are_removed(
    tmp_path: Path, shards_dir: Path, codebook_dir: Path
) -> None:
    label(shards_dir, codebook_dir, tmp_path / "again")
    fewer = write_shards(tmp_path / "fewer", tones(3))
    label(fewer, codebook_dir, tmp_path / "again")
    label(fewer, codebook_dir, tmp_path / "whole")
    assert contents(tmp_path / "again") == contents(tmp_path / "whole")


@pytest.mark.slow
def test_workers_change_no_byte(
    tmp_path: Path, shards_dir: Path, codebook_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavlm.labels.build.CORE_SECONDS_PER_WORKER", 1e-4)
    for workers in (1, 2):
        label(shards_dir, codebook_dir, tmp_path / str(workers), replace(LOCAL_PLAN, processes=workers))
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_a_second_process_is_started_only_for_enough_audio(
    tmp_path: Path, shards_dir: Path, codebook_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def run(parts: Sequence[ShardGroup], work: Callable[[ShardGroup], None], processes: int, *_: object) -> None:
        asked.append(processes)
        assert all(part.parts for part in parts)
        for part in parts:
            work(part)

    monkeypatch.setattr("wavlm.labels.build.run_parts", run)
    label(shards_dir, codebook_dir, tmp_path / "short", replace(LOCAL_PLAN, processes=4))
    monkeypatch.setattr("wavlm.labels.build.CORE_SECONDS_PER_WORKER", 1e-6)
    label(shards_dir, codebook_dir, tmp_path / "long", replace(LOCAL_PLAN, processes=4))
    assert asked == [1, 4]


@pytest.mark.parametrize("groups_per_process", [1, 2, 3])
def test_batches_and_groups_of_shards_change_no_byte(
    tmp_path: Path, shards_dir: Path, codebook_dir: Path, groups_per_process: int
) -> None:
    for name, plan in (("single", LOCAL_PLAN), ("batched", replace(BATCHED, groups_per_process=groups_per_process))):
        label(shards_dir, codebook_dir, tmp_path / name, plan)
    assert contents(tmp_path / "single") == contents(tmp_path / "batched")


def test_a_pass_in_batches_that_was_interrupted_ends_with_the_same_bytes(
    tmp_path: Path, shards_dir: Path, codebook_dir: Path
) -> None:
    for name in ("whole", "again"):
        label(shards_dir, codebook_dir, tmp_path / name, BATCHED)
    for name in ("train-000000.parquet", "quality/valid-000000.parquet", "valid-000000.parquet"):
        (tmp_path / "again" / name).unlink()
    label(shards_dir, codebook_dir, tmp_path / "again", BATCHED)
    assert contents(tmp_path / "again") == contents(tmp_path / "whole")


@pytest.mark.parametrize("plan", [LOCAL_PLAN, BATCHED])
def test_an_utterance_whose_features_are_not_finite_is_named(
    tmp_path: Path, shards_dir: Path, codebook_dir: Path, plan: ExtractionPlan
) -> None:
    book = tmp_path / "codebook"
    book.mkdir()
    np.save(book / "centroids.npy", np.full((6, 39), 1e30, np.float32))  # their squares overflow
    facts = json.loads((codebook_dir / "codebook.json").read_text())
    facts["sha256"] = sha256_of(book / "centroids.npy")
    (book / "codebook.json").write_text(json.dumps(facts))
    with pytest.raises(BadDataError, match=r"LABEL_RANGE: .*no cluster for frame 0 .*train0-000"):
        label(shards_dir, book, tmp_path / "labels", plan)


@pytest.mark.parametrize("plan", [LOCAL_PLAN, BATCHED])
def test_a_damaged_shard_is_refused_before_it_is_labelled(
    tmp_path: Path, codebook_dir: Path, plan: ExtractionPlan
) -> None:
    shards = write_shards(tmp_path / "shards", tones(2))
    tar = shards / "train-000000.tar"
    blob = bytearray(tar.read_bytes())
    blob[700] ^= 1
    tar.write_bytes(blob)
    with pytest.raises(BadDataError, match=r"CHECKSUM.*train-000000\.tar"):
        label(shards, codebook_dir, tmp_path / "labels", plan)
    assert not list((tmp_path / "labels").iterdir())


def test_a_codebook_of_other_features_is_refused(tmp_path: Path, shards_dir: Path, codebook_dir: Path) -> None:
    with pytest.raises(LabelMismatchError, match=r"hidden.*the codebook clusters.*mfcc"):
        build_labels(codebook_dir, LAYER, shards_dir, tmp_path, tmp_path, LOCAL_PLAN)


@pytest.mark.slow
@pytest.mark.parametrize("plan", [LOCAL_PLAN, BATCHED])
def test_labels_of_a_layer_are_at_50_hz_and_can_train_the_next_model(
    tmp_path: Path, shards_dir: Path, plan: ExtractionPlan
) -> None:
    torch.manual_seed(0)
    network = tiny_network()
    teacher, out = tmp_path / "teacher", tmp_path / "labels"
    save_model(WavLM(network, num_clusters=5), teacher)
    book = codebook(shards_dir, tmp_path / "codebook", LAYER, teacher)
    out.mkdir()
    facts = build_labels(book, LAYER, shards_dir, teacher, out, plan)
    assert facts.label_rate_hz == 50
    assert facts.num_clusters == 6
    assert facts == read_labels_facts(out)

    centroids = np.load(book / "centroids.npy")
    flat = open_flat_labels([out], [shards_dir], tmp_path / "cache")
    teacher_network = load_model(teacher)
    for row, utterance in enumerate(stream(shards_dir / "train-000000.tar")):
        with torch.no_grad():
            states = teacher_network.hidden_states(torch.from_numpy(utterance.waveform)[None])
        distances = ((states[2][0].numpy()[:, None] - centroids[None]) ** 2).sum(axis=2)
        largest = float((states[2][0] ** 2).sum(dim=1).max())
        operations = num_operations(network, len(distances))
        require_nearest(flat.of(0, row), distances, largest, operations)
