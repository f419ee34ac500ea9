"""Clustering of windows and of speakers of blocks, PLDA, and VBx, against libraries, closed forms and public code."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.cluster import AgglomerativeClustering
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from tests.systems.diarization.vbx_case import make_case
from wavlm.errors import BadDataError
from wavlm.evaluation.heads.apart import cluster_apart
from wavlm.systems.diarization.clustering import cluster_by_cosine, cluster_by_plda
from wavlm.systems.diarization.plda import Plda, fit_plda
from wavlm.systems.diarization.vbx import VbxSettings, run_vbx
from wavlm.systems.diarization.windowed import MOST_FIRST, WindowClustering, label_windows

pytestmark = pytest.mark.numeric


def same_partition(left: np.ndarray, right: np.ndarray) -> bool:
    return bool(((left[:, None] == left) == (right[:, None] == right)).all())


def vectors(seed: int, num: int = 60) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(5, 8))[rng.integers(0, 5, num)] * 3 + rng.normal(size=(num, 8))


@pytest.mark.parametrize("stop", [0.2, 0.5, 0.8])
def test_clusters_by_cosine_are_those_of_scikit_learn(stop: float) -> None:
    found = cluster_by_cosine(vectors(1), stop)
    expected = AgglomerativeClustering(None, metric="cosine", linkage="average", distance_threshold=1 - stop)
    assert same_partition(found, expected.fit_predict(vectors(1)))
    assert list(dict.fromkeys(found.tolist())) == list(range(found.max() + 1))  # named in order


def test_a_known_number_of_speakers_is_kept() -> None:
    assert cluster_by_cosine(vectors(2), stop=-1.0, count=3).max() == 2
    assert cluster_by_cosine(vectors(2)[:1], stop=0.5, count=3).tolist() == [0]


def test_speakers_of_a_block_are_clustered_as_with_a_far_distance_and_never_together() -> None:
    found = vectors(3)
    blocks = np.repeat(np.arange(20), 3)
    distances = np.linalg.norm(found[:, None] - found, axis=2)
    distances[(blocks[:, None] == blocks) & ~np.eye(60, dtype=bool)] = 1e4
    expected = AgglomerativeClustering(None, metric="precomputed", linkage="average", distance_threshold=4.0)
    labels = cluster_apart(found, blocks.tolist(), 4.0)
    assert same_partition(labels, expected.fit_predict(distances))
    assert all(len(set(labels[blocks == block])) == 3 for block in range(20))


def test_one_pair_that_must_stay_apart_keeps_two_large_clusters_apart() -> None:
    """The mean over 150 x 150 pairs of which one is 10,000 is below 1: that alone would join them."""
    near = np.random.default_rng(4).normal(size=(300, 4)) * 1e-3
    blocks = [*range(299), 0]
    labels = cluster_apart(near, blocks, farthest=1.0)
    assert labels[0] != labels[299]
    assert labels.max() == 1
    assert cluster_apart(near, blocks, farthest=1.0, count=1).max() == 1


def test_the_ratio_of_plda_is_that_of_two_gaussians() -> None:
    rng = np.random.default_rng(6)
    between = np.array([4.0, 1.0, 0.3])
    plda = Plda(np.zeros(3), np.zeros(3), np.eye(3), between)
    left, right = rng.normal(size=(5, 3)) * 2, rng.normal(size=(4, 3)) * 2
    total, shared = np.diag(between + 1), np.diag(between)
    one = multivariate_normal(np.zeros(6), np.block([[total, shared], [shared, total]]))
    two = multivariate_normal(np.zeros(3), total)
    expected = [[one.logpdf(np.concatenate([a, b])) - two.logpdf(a) - two.logpdf(b) for b in right] for a in left]
    assert np.abs(plda.ratios(left, right) - expected).max() < 1e-9


def test_plda_projects_as_discriminant_analysis_does_and_makes_speakers_spherical() -> None:
    rng = np.random.default_rng(7)
    speakers = np.repeat(np.arange(60), 8)
    points = (rng.normal(size=(60, 6)) * [3, 2, 1, 0.5, 0.1, 0.1])[speakers] + rng.normal(size=(480, 6)) @ np.triu(
        rng.normal(size=(6, 6))
    )
    fitted = fit_plda(points, speakers.astype(str), num_dimensions=2)
    unit = points - points.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    directions = LinearDiscriminantAnalysis(solver="eigen").fit(unit, speakers).scalings_[:, :2]
    for found, expected in zip(fitted.projection.T, directions.T, strict=True):
        cosine = found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)
        assert abs(cosine) > 0.999
    projected = fitted.project(points)
    means = np.stack([projected[speakers == number].mean(axis=0) for number in range(60)])
    rest = projected - means[speakers]
    assert np.abs(rest.T @ rest / 420 - np.eye(2)).max() < 0.03  # 0.014: the floor of variances
    assert np.abs(np.var(means, axis=0) - 1 / 8 - fitted.between).max() < 0.1


def test_plda_of_one_speaker_or_of_single_recordings_is_refused() -> None:
    with pytest.raises(BadDataError, match="CLASS_SINGLE: 60 embeddings of 1 speakers"):
        fit_plda(vectors(8), ["a"] * 60)
    with pytest.raises(BadDataError, match="CLASS_SINGLE: 60 embeddings of 60 speakers"):
        fit_plda(vectors(8), [str(number) for number in range(60)])


def test_clusters_by_plda_tell_speakers_apart() -> None:
    windows, between, _ = make_case()
    plda = Plda(np.zeros(16), np.zeros(16), np.eye(16), between)
    ratios = plda.ratios(windows, windows)
    expected = AgglomerativeClustering(None, metric="precomputed", linkage="average", distance_threshold=0.0)
    # scikit-learn's clusters stop at a distance of 0, so ratios count from the stop on.
    assert same_partition(
        cluster_by_plda(windows, plda, stop=-5.0),
        expected.set_params(distance_threshold=1000.0).fit_predict(1000 - (ratios + 5.0)),
    )


def test_vbx_gives_what_the_authors_code_gives() -> None:
    windows, between, labels = make_case()
    reference = json.loads(Path(__file__).with_name("vbx_reference.json").read_text())
    found = run_vbx(windows, between, labels, VbxSettings())
    assert np.abs(found.chances - reference["chances"]).max() < 1e-6
    assert np.abs(found.weights - reference["weights"]).max() < 1e-6
    assert len(found.bounds) == len(reference["bounds"])
    assert np.abs(np.array(found.bounds) - reference["bounds"]).max() < 1e-4
    assert set(found.labels) == {1, 3, 6}  # of seven speakers that it was given


@pytest.mark.parametrize(("stop", "left", "known", "expected"), [(0.3, 3, 2, 2), (-1.5, 1, 3, 3), (0.5, 4, 5, 4)])
def test_vbx_keeps_to_the_number_of_speakers_that_is_known(stop: float, left: int, known: int, expected: int) -> None:
    """Too many are cut, more clusters are made where there are too few, and VBx may still drop some."""
    windows, between, _ = make_case()
    plda = Plda(np.zeros(16), np.zeros(16), 10 * np.eye(16), between)
    settings = WindowClustering(method="vbx", stop=stop)
    assert len(set(label_windows(windows, settings, plda).tolist())) == left
    assert len(set(label_windows(windows, replace(settings, speakers=known), plda).tolist())) == expected


def test_never_are_more_clusters_left_than_asked_for() -> None:
    found = cluster_by_cosine(vectors(9), stop=1.0, most=7)  # the stop alone would join none
    expected = AgglomerativeClustering(7, metric="cosine", linkage="average")
    assert same_partition(found, expected.fit_predict(vectors(9)))
    assert same_partition(cluster_by_cosine(vectors(9), stop=0.2, most=60), cluster_by_cosine(vectors(9), stop=0.2))


def test_vbx_adds_up_over_all_ways_through_the_windows() -> None:
    """One round of three speakers and five windows, all 243 ways written out."""
    rng = np.random.default_rng(10)
    windows, between, first = rng.normal(size=(5, 2)) * 2, np.array([3.0, 1.0]), np.array([0, 1, 2, 1, 0])
    settings = VbxSettings(max_rounds=1, regularisation=1.0)
    found = run_vbx(windows, between, first, settings)
    chances = np.exp(settings.smoothing * np.eye(3)[first])
    chances /= chances.sum(axis=1, keepdims=True)
    ratio = settings.evidence / settings.regularisation
    precision = 1 / (1 + ratio * chances.sum(axis=0)[:, None] * between)
    means = ratio * precision * (chances.T @ (windows * np.sqrt(between)))
    alone = -0.5 * (windows**2).sum(axis=1) - np.log(2 * np.pi)
    fits = np.exp(
        settings.evidence
        * ((windows * np.sqrt(between)) @ means.T - 0.5 * (precision + means**2) @ between + alone[:, None])
    )
    steps = settings.loop * np.eye(3) + (1 - settings.loop) / 3
    total, expected = 0.0, np.zeros((5, 3))
    for way in itertools.product(range(3), repeat=5):
        likelihood = fits[0, way[0]] / 3
        for window in range(1, 5):
            likelihood *= steps[way[window - 1], way[window]] * fits[window, way[window]]
        total += likelihood
        expected[np.arange(5), way] += likelihood
    prior = 0.5 * (np.log(precision) - precision - means**2 + 1).sum()
    assert np.abs(found.chances - expected / total).max() < 1e-6  # 1e-8 is added to each probability of a step
    assert abs(found.bounds[0] - (np.log(total) + prior)) < 1e-5


def test_vbx_begins_with_a_bounded_number_of_clusters() -> None:
    """Windows of which no two are alike, as of two hours that a weak system embeds: each would be a speaker."""
    rng = np.random.default_rng(12)
    plda = Plda(np.zeros(16), np.zeros(16), np.eye(16), np.full(16, 4.0))
    settings = WindowClustering(method="vbx", stop=0.9, vbx=VbxSettings(regularisation=1e-3, max_rounds=3))
    labels = label_windows(rng.normal(size=(MOST_FIRST + 100, 16)), settings, plda)
    assert labels.max() < MOST_FIRST


def test_vbx_of_one_window_or_one_speaker_gives_that_speaker() -> None:
    windows, between, _ = make_case()
    assert run_vbx(windows[:1], between, np.zeros(1, np.int64)).labels.tolist() == [0]
    assert not run_vbx(windows, between, np.zeros(len(windows), np.int64)).labels.any()
