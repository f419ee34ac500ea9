"""Labels by random projections: their numbers, their independence of workers, and speech that is too unlike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.mini_shards import Spoken, tones, write_shards
from tests.numerics import require_nearest
from wavlm.errors import BadDataError
from wavlm.execution.parts import use_executor
from wavlm.features.extract import ExtractionPlan
from wavlm.features.fbank import fbank
from wavlm.features.log_mel import stacked_log_mel
from wavlm.labels.build import build_labels
from wavlm.labels.codebook import build_codebook
from wavlm.labels.facts import LabelsFacts
from wavlm.labels.files import read_labels
from wavlm.labels.random_projection import fit_projections, refuse_unnormalised
from wavlm.shards import stream
from wavlm.specs import LogMelFeatures, RandomProjectionSpec
from wavlm.specs.shapes import num_frames

pytestmark = pytest.mark.numeric

PLAN = ExtractionPlan("cpu", processes=1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
SPEC = RandomProjectionSpec(type="random_projection", num_clusters=64, num_streams=2, sample_frames=300)


def build(spec: RandomProjectionSpec, shards: Path, out: Path, plan: ExtractionPlan = PLAN) -> LabelsFacts:
    for name in ("codebook", "labels"):
        (out / name).mkdir(parents=True)
    build_codebook(spec, {"tones": shards}, None, out / "codebook", plan)
    return build_labels(out / "codebook", spec.features, shards, None, out / "labels", plan)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def stacked(waveform: np.ndarray, stack_frames: int) -> np.ndarray:
    """Frames of 10 ms from another function, put beside each other one by one."""
    energies, count = fbank(waveform)[:, :80], num_frames(len(waveform))
    first = [2 * t - (stack_frames - 1) // 2 for t in range(count)]
    inside = [[min(max(at + n, 0), len(energies) - 1) for n in range(stack_frames)] for at in first]
    return np.stack([np.concatenate([energies[place] for place in places]) for places in inside])


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"), tones(7) + tones(2, seed=1, split="valid"))


def test_labels_are_the_nearest_vectors_of_the_normalised_projections(tmp_path: Path, shards: Path) -> None:
    facts = build(SPEC, shards, tmp_path)
    with np.load(tmp_path / "codebook" / "quantizer.npz") as arrays:
        mean, scale, matrices, vectors = (
            arrays[name].astype(np.float64) for name in ("mean", "scale", "projections", "vectors")
        )
    assert np.abs(matrices).max() <= np.sqrt(6 / (160 + 16))
    assert np.allclose(np.linalg.norm(vectors, axis=-1), 1)
    count = 0
    for shard in shards.glob("*.tar"):
        found = read_labels(tmp_path / "labels", shard.name).by_key
        for utterance in stream(shard):
            normalised = (stacked(utterance.waveform, 2) - mean) / scale
            count += len(normalised)
            for number in range(2):
                projected = normalised @ matrices[number]
                projected /= np.linalg.norm(projected, axis=1, keepdims=True)
                distances = np.square(projected[:, None] - vectors[number]).sum(-1)
                require_nearest(found[utterance.key][:, number], distances, 1.0, 160 * 16)
    assert (facts.num_labels, facts.num_streams, facts.label_rate_hz) == (count, 2, 50)
    assert len(facts.stream_entropy_bits) == 2
    assert facts.quality is not None
    assert facts.joint_pnmi is not None
    assert facts.quality.pnmi <= facts.joint_pnmi <= 1  # two labels tell no less than the first of them


def test_the_sample_has_mean_0_and_variance_1() -> None:
    sample = np.random.default_rng(0).normal(-3, 5, (400, 160)).astype(np.float32)
    normalised = fit_projections(sample, SPEC).normalise(sample).astype(np.float64)
    assert np.abs(normalised.mean(axis=0)).max() < 1e-5
    assert normalised.std(axis=0) == pytest.approx(np.ones(160), abs=1e-5)


@pytest.mark.parametrize("stack_frames", [1, 2, 4])
def test_stacked_frames_do_not_depend_on_padding(stack_frames: int) -> None:
    rng = np.random.default_rng(1)
    waveforms = [rng.normal(0, 0.1, length).astype(np.float32) for length in (4000, 2400, 400, 719, 720)]
    padded = torch.zeros(5, 4000)
    for row, waveform in zip(padded, waveforms, strict=True):
        row[: len(waveform)] = torch.from_numpy(waveform)
    found = stacked_log_mel(padded, torch.tensor([len(item) for item in waveforms]), stack_frames)
    for row, waveform in zip(found, waveforms, strict=True):
        expected = stacked(waveform, stack_frames)
        assert row[: len(expected)].numpy() == pytest.approx(expected, abs=1e-3)


@pytest.mark.full
def test_workers_executors_and_restarts_change_no_byte(
    tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavlm.labels.build.CORE_SECONDS_PER_WORKER", 1e-4)
    build(SPEC, shards, tmp_path / "one")
    build(SPEC, shards, tmp_path / "two", replace(PLAN, processes=2))
    with use_executor(lambda parts, work, *_: [work(part) for part in reversed(parts)][::-1]):
        build(SPEC, shards, tmp_path / "backwards", replace(PLAN, groups_per_process=3))
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "backwards")
    (tmp_path / "one" / "labels" / "train-000001.parquet").unlink()
    (tmp_path / "one" / "labels" / "labels.json").unlink()
    build_labels(tmp_path / "one" / "codebook", SPEC.features, shards, None, tmp_path / "one" / "labels", PLAN)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_another_seed_gives_other_labels(tmp_path: Path, shards: Path) -> None:
    for seed in (0, 1):
        build(SPEC.model_copy(update={"seed": seed}), shards, tmp_path / str(seed))
    first, second = (read_labels(tmp_path / str(seed) / "labels", "train-000000.tar").labels[0] for seed in (0, 1))
    assert (first != second).mean() > 0.5


def test_features_that_are_not_normalised_are_refused_with_what_was_found(tmp_path: Path, shards: Path) -> None:
    build(SPEC, shards, tmp_path)
    loud = [Spoken(it.key, it.speaker, np.sign(it.waveform).astype(np.float32), it.phones) for it in tones(4)]
    other = write_shards(tmp_path / "loud", loud)
    (tmp_path / "out").mkdir()
    with pytest.raises(BadDataError, match=r"NOT_NORMALISED: features of mean \d"):
        build_labels(tmp_path / "codebook", SPEC.features, other, None, tmp_path / "out", PLAN)
    assert not list((tmp_path / "out").iterdir())
    waveform = tones(1)[0].waveform
    with pytest.raises(BadDataError, match="NOT_NORMALISED"):
        refuse_unnormalised(stacked(waveform, 2), "raw features")


def test_log_mel_features_name_their_own_codebook() -> None:
    assert SPEC.features == LogMelFeatures(type="log_mel", stack_frames=2)
