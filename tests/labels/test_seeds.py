"""Seeds other than 0, and attempts other than one, reach the places that draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.labels.test_codebook import LOCAL_PLAN, MFCC, spec
from tests.mini_shards import tones, write_shards
from wavlm.features.frame_function import frame_function
from wavlm.labels.centroids import Centroids
from wavlm.labels.codebook import build_codebook, cluster
from wavlm.labels.sampling import draw_utterances, read_utterances, sample_frames

pytestmark = pytest.mark.numeric


def test_more_attempts_are_never_worse_and_more_than_one_is_made() -> None:
    frames = np.random.default_rng(0).gamma(2, size=(600, 3)).astype(np.float32)

    def inertia(redo: int, seed: int) -> float:
        found = cluster(frames, 12, iterations=3, redo=redo, seed=seed)
        return Centroids(found.centroids).fit(frames).inertia_per_frame

    pairs = [(inertia(1, seed), inertia(6, seed)) for seed in range(4)]
    assert all(many <= one for one, many in pairs)
    assert any(many < one for one, many in pairs)


@pytest.mark.parametrize("seed", [0, 3])
def test_both_samples_of_a_codebook_are_those_of_its_seed(tmp_path: Path, seed: int) -> None:
    """The fit on held-out frames is measured again, on frames that are drawn here."""
    shards = write_shards(tmp_path / "shards", tones(5) + tones(3, seed=1, split="valid"))
    (tmp_path / "out").mkdir()
    chosen = spec(seed=seed, sample_frames_per_cluster=40)
    facts = build_codebook(chosen, {"tones": shards}, None, tmp_path / "out", LOCAL_PLAN)
    function, centroids = frame_function(MFCC, None, "cpu"), Centroids.load(tmp_path / "out")
    fits = {}
    for split, count in (("train", 160), ("valid", 16)):
        utterances = read_utterances([shards], split)
        drawing = draw_utterances(utterances, 100, count, np.ones(1), chosen)
        fits[split] = [
            centroids.fit(sample_frames(utterances, drawing, function, number, LOCAL_PLAN))
            for number in (seed, seed + 1)
        ]
    assert facts.train == fits["train"][0] != fits["train"][1]
    assert facts.valid == fits["valid"][0] != fits["valid"][1]
