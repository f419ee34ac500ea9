"""Seeds other than 0, and attempts other than one, reach the places that draw."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.labels.test_codebook import LOCAL_PLAN, MFCC, spec
from tests.mini_shards import tones, write_shards
from wavlm.labels.centroids import Centroids
from wavlm.labels.codebook import build_codebook
from wavlm.labels.fitting import fit_codebook
from wavlm.labels.frames import FramesWork, sample_frames
from wavlm.labels.kmeans import Clustering, cluster
from wavlm.labels.pools import read_pools
from wavlm.labels.sampling import draw_utterances
from wavlm.rng import seed_for

pytestmark = pytest.mark.numeric


def test_more_attempts_are_never_worse_and_more_than_one_is_made() -> None:
    frames = np.random.default_rng(0).gamma(2, size=(600, 3)).astype(np.float32)

    def inertia(redo: int, seed: int) -> float:
        found = cluster(frames, 12, iterations=3, redo=redo, seed=seed)
        return Centroids(found.centroids).fit(frames).inertia_per_frame

    pairs = [(inertia(1, seed), inertia(6, seed)) for seed in range(4)]
    assert all(many <= one for one, many in pairs)
    assert any(many < one for one, many in pairs)


def test_kmeans_gets_the_fields_of_the_codebook_and_a_seed_drawn_from_its_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SHA-256 of seed and name, as `wavlm.rng` says; faiss takes 31 bits of it."""
    asked: list[dict[str, int]] = []
    module = sys.modules[fit_codebook.__module__]

    def watched(*arguments: Any, **options: int) -> Clustering:
        asked.append(options)
        return cluster(*arguments, **options)

    monkeypatch.setattr(module, "cluster", watched)
    shards = write_shards(tmp_path / "shards", tones(3))
    (tmp_path / "out").mkdir()
    build_codebook(spec(seed=3, redo=2, iterations=4), {"tones": shards}, None, tmp_path / "out", LOCAL_PLAN)
    seed = seed_for(3, "k-means") % 2147483648
    assert asked == [{"iterations": 4, "redo": 2, "seed": seed}]
    assert seed > 1000


@pytest.mark.parametrize("seed", [0, 3])
def test_both_samples_of_a_codebook_are_those_of_its_seed(tmp_path: Path, seed: int) -> None:
    """The fit on held-out frames is measured again, on frames that are drawn here."""
    shards = write_shards(tmp_path / "shards", tones(5) + tones(3, seed=1, split="valid"))
    (tmp_path / "out").mkdir()
    chosen = spec(seed=seed, sample_frames_per_cluster=40)
    facts = build_codebook(chosen, {"tones": shards}, None, tmp_path / "out", LOCAL_PLAN)
    centroids = Centroids.load(tmp_path / "out")
    fits = {}
    for split, count in (("train", 160), ("valid", 16)):
        drawing = draw_utterances(read_pools([shards], ["tones"], split, 100).pools, 100, count, np.ones(1), chosen)
        works = [FramesWork((shards,), MFCC, None, number, LOCAL_PLAN) for number in (seed, seed + 1)]
        fits[split] = [centroids.fit(sample_frames(drawing, work, tmp_path)) for work in works]
    assert facts.train == fits["train"][0] != fits["train"][1]
    assert facts.valid == fits["valid"][0] != fits["valid"][1]
