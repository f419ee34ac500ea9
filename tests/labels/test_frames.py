"""The frames of a sample are computed in parts, shard by shard: neither parts nor processes nor an interrupt show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.mini_shards import tones, write_shards
from wavlm.features.extract import ExtractionPlan
from wavlm.labels import frames
from wavlm.labels.frames import FramesWork, sample_frames
from wavlm.labels.pools import read_pools
from wavlm.labels.sampling import Drawing, draw_utterances
from wavlm.specs import CodebookSpec, MfccFeatures

pytestmark = pytest.mark.numeric

MFCC = MfccFeatures(type="mfcc")
PLAN = ExtractionPlan("cpu", processes=1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
SPEC = CodebookSpec(features=MFCC, num_clusters=4, frames_per_utterance=20)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("shards")
    return [write_shards(root / name, tones(14, seed=seed), per_shard=3) for seed, name in enumerate("ab")]


@pytest.fixture(scope="module")
def drawing(folders: list[Path]) -> Drawing:
    return draw_utterances(read_pools(folders, "ab", "train", 100).pools, 100, 400, np.array([1.0, 2.0]), SPEC)


def sample(folders: list[Path], drawing: Drawing, out: Path, workers: int = 1) -> np.ndarray:
    out.mkdir(exist_ok=True)
    return sample_frames(drawing, FramesWork(tuple(folders), MFCC, None, 5, PLAN), out, workers)


def test_how_many_parts_there_are_changes_nothing(
    folders: list[Path], drawing: Drawing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sample(folders, drawing, tmp_path / "whole")
    monkeypatch.setattr("wavlm.labels.cells.PART_SECONDS", 1)
    parts = sample(folders, drawing, tmp_path / "parts")
    assert len(list((tmp_path / "parts" / frames.FOLDER).glob("[!.]*.npy"))) > 5
    np.testing.assert_array_equal(whole, parts)
    assert len(whole) == 400


def test_each_shard_is_read_by_one_part_from_front_to_back(
    folders: list[Path], drawing: Drawing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavlm.labels.cells.PART_SECONDS", 1)
    read: list[tuple[Path, str, int]] = []
    original = frames.Reader.read_at

    def note(self: frames.Reader, shard: str, offset: int, size: int) -> np.ndarray:
        read.append((self._folder, shard, offset))
        return original(self, shard, offset, size)

    monkeypatch.setattr(frames.Reader, "read_at", note)
    sample(folders, drawing, tmp_path / "out")
    assert read == sorted(read)
    assert len(read) == len(drawing.rows)


def test_parts_that_are_whole_are_not_made_again(
    folders: list[Path], drawing: Drawing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavlm.labels.cells.PART_SECONDS", 1)
    first = sample(folders, drawing, tmp_path / "out")
    files = sorted((tmp_path / "out" / frames.FOLDER).glob("[!.]*.npy"))
    files[0].write_bytes(files[0].read_bytes()[:-8] + bytes(8))
    times = [path.stat().st_mtime_ns for path in files]
    np.testing.assert_array_equal(sample(folders, drawing, tmp_path / "out"), first)
    assert [path.stat().st_mtime_ns == time for path, time in zip(files, times, strict=True)] == [
        False, *[True] * (len(files) - 1),
    ]  # fmt: skip


def test_frames_of_another_seed_are_not_those_that_are_there(
    folders: list[Path], drawing: Drawing, tmp_path: Path
) -> None:
    first = sample(folders, drawing, tmp_path / "out")
    other = sample_frames(drawing, FramesWork(tuple(folders), MFCC, None, 6, PLAN), tmp_path / "out")
    assert not np.array_equal(first, other)
