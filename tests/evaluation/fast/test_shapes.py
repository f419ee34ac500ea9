"""Effective rank and cluster quality: against known answers and scikit-learn; and what is chosen to measure them on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import davies_bouldin_score

from tests.mini_shards import Spoken, tones, write_shards
from wavlm.errors import BadDataError
from wavlm.evaluation.fast.clusters import measure_clusters
from wavlm.evaluation.fast.rank import effective_rank
from wavlm.evaluation.fast.shapes import choose_speech, measure_shapes
from wavlm.execution.progress import no_progress
from wavlm.specs import ScoresSpec

pytestmark = pytest.mark.numeric


def test_the_effective_rank_is_the_number_of_equal_directions() -> None:
    rng = np.random.default_rng(0)
    flat = np.linalg.qr(rng.normal(size=(400, 20)))[0][:, :7] @ rng.permutation(np.eye(20))[:7]
    assert effective_rank(flat.astype(np.float32)) == pytest.approx(7, rel=1e-4)
    assert effective_rank(np.ones((50, 8), np.float32)) == pytest.approx(1, rel=1e-4)
    assert effective_rank(np.zeros((50, 8), np.float32)) == 0
    frames = (rng.normal(size=(300, 12)) * np.arange(1, 13)).astype(np.float32)
    for some in (frames, frames[:5]):  # more frames than channels, and fewer
        values = np.linalg.svd(some.astype(np.float64), compute_uv=False)
        shares = values / values.sum()
        assert effective_rank(some) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-4)
        assert effective_rank(100 * some) == pytest.approx(effective_rank(some), rel=1e-6)
    with pytest.raises(BadDataError, match="NaN"):
        effective_rank(np.full((4, 2), np.nan, np.float32))


def test_cluster_quality_is_that_of_scikit_learn_and_of_definitions() -> None:
    rng = np.random.default_rng(1)
    centroids = 3 * rng.normal(size=(6, 5)).astype(np.float32)
    frames = (centroids[rng.integers(0, 5, 500)] + rng.normal(size=(500, 5))).astype(np.float32)
    squared = ((frames[:, None] - centroids[None]) ** 2).sum(axis=2)
    labels = squared.argmin(axis=1)
    found = measure_clusters(frames, centroids)
    assert found.davies_bouldin == pytest.approx(davies_bouldin_score(frames, labels), rel=1e-5)
    assert found.inertia_share == pytest.approx(squared.min(axis=1).mean() / frames.var(axis=0).sum(), rel=1e-5)
    shares = np.bincount(labels) / 500
    assert found.used_clusters == (shares > 0).sum()
    assert found.entropy_bits == pytest.approx(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())
    one = measure_clusters(frames[labels == 0], centroids)
    assert (one.used_clusters, one.entropy_bits, one.davies_bouldin) == (1, 0, None)


def test_every_corpus_gives_as_many_utterances_and_held_out_speech_is_measured(tmp_path: Path) -> None:
    silent = [Spoken(item.key, item.speaker, item.waveform, split=item.split) for item in tones(9, seed=1)]
    corpora = {
        "large": write_shards(tmp_path / "large", tones(12) + tones(8, seed=2, split="valid")),
        "small": write_shards(tmp_path / "small", silent),
    }
    sample = choose_speech(corpora, max_utterances=12, seed=0)
    for chosen in (sample.fitted, sample.judged):
        assert [item.corpus for item in chosen] == ["large"] * 3 + ["small"] * 3
    assert [item.split for item in sample.judged] == ["valid"] * 3 + ["train"] * 3
    assert not {item.key for item in sample.fitted} & {item.key for item in sample.judged}
    again, other = (choose_speech(corpora, 12, seed) for seed in (0, 1))
    assert [item.key for item in again.judged] == [item.key for item in sample.judged]
    assert [item.key for item in other.judged] != [item.key for item in sample.judged]
    (spoken,) = [item for item in silent if item.key == sample.judged[-1].key]
    assert sample.judged[-1].waveform == pytest.approx(spoken.waveform, abs=1e-4)


def test_shapes_are_of_all_corpora_and_of_each_of_several(tmp_path: Path) -> None:
    corpora = {name: write_shards(tmp_path / name, tones(6, seed)) for seed, name in enumerate(("ab", "cd"))}

    def extract(waveform: np.ndarray) -> list[np.ndarray]:
        """Two layers: noise in 6 channels, and in one of them."""
        noise = np.random.default_rng(len(waveform)).normal(size=(30, 6)).astype(np.float32)
        return [noise, noise * np.eye(6, dtype=np.float32)[0]]

    for num_clusters, has_clusters in ((4, True), (500, False)):
        spec = ScoresSpec(num_clusters=num_clusters, max_utterances=12)
        sample = choose_speech(corpora, spec.max_utterances, 0)
        found = list(measure_shapes(extract, (0, 3), sample, spec, no_progress))
        assert [(shape.corpus, shape.name) for shape in found] == [
            (corpus, name) for corpus in ("", "ab", "cd") for name in ("mfcc", "layer 3")
        ]
        assert [shape.num_frames for shape in found] == [180, 180, 90, 90, 90, 90]
        assert [round(shape.effective_rank) for shape in found] == [6, 1] * 3
        assert all((shape.used_clusters == 4) == has_clusters for shape in found)
        assert all((shape.inertia_share is None) != has_clusters for shape in found)
