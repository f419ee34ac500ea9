"""The cache of features: bounded, and whole for whoever has opened it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.features.cache import FeaturePart, Features, remove_unused
from wavlm.evaluation.features.states import Subject
from wavlm.specs.evaluation import FbankBaseline

BASELINE = Subject("b", baseline=FbankBaseline(type="fbank"))


def write_part(cache: Path, digest: str, used_at: int) -> FeaturePart:
    part = FeaturePart(cache / f"{digest}.npy", (Example(digest, "", "", 16000, Take(0, 0), ""),), BASELINE, (), True)
    np.save(part.path, np.full((1, 1, 8), 0.5, np.float32))
    np.save(part.counts, np.array([1]))
    np.save(part.norms, np.array([[1.0]]))
    for path in (part.path, part.counts, part.norms):
        os.utime(path, (used_at, used_at))
    return part


def test_the_parts_that_were_not_used_longest_go_and_each_goes_whole(tmp_path: Path) -> None:
    parts = [write_part(tmp_path, digest, used_at) for digest, used_at in (("cc", 100), ("aa", 300), ("bb", 200))]
    size = sum(path.stat().st_size for path in tmp_path.iterdir()) // 3
    assert remove_unused(tmp_path, 3 * size) == 0
    assert remove_unused(tmp_path, 2 * size - 1) == 2 * size
    assert {path.name for path in tmp_path.iterdir()} == {"aa.npy", "aa.counts.npy", "aa.norms.npy"}
    assert parts[1].path.exists()
    assert remove_unused(tmp_path, 0) == size
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_reads_on_what_another_one_has_deleted(tmp_path: Path) -> None:
    features = Features([write_part(tmp_path, "aa", 100)])
    remove_unused(tmp_path, 0)
    assert features.read("aa").shape == (1, 1, 8)
    assert float(features.read("aa").max()) == 0.5
