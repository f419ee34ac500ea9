"""Stage codebook: k-means, its sample, and the exact nearest centroid."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest
from sklearn.cluster import KMeans

from tests.mini_shards import Spoken, tones, write_shards
from tests.numerics import require_close, require_nearest
from wavlm.errors import BadDataError
from wavlm.features.extract import ExtractionPlan
from wavlm.features.mfcc import mfcc
from wavlm.labels.centroids import Centroids
from wavlm.labels.codebook import build_codebook
from wavlm.labels.facts import read_codebook
from wavlm.labels.frames import FramesWork, sample_frames
from wavlm.labels.kmeans import cluster
from wavlm.labels.pools import read_pools
from wavlm.labels.sampling import Drawing, draw_utterances, samples_per_folder
from wavlm.specs import CodebookSpec, MfccFeatures

pytestmark = pytest.mark.numeric

MFCC = MfccFeatures(type="mfcc")
LOCAL_PLAN = ExtractionPlan("cpu", processes=1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)


def blobs(count: int, channels: int = 5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = 20 * rng.standard_normal((7, channels))
    return (centres[rng.integers(0, 7, count)] + rng.standard_normal((count, channels))).astype(np.float32)


def spec(**fields: int) -> CodebookSpec:
    chosen = {"num_clusters": 4, "sample_frames_per_cluster": 50, "iterations": 8, **fields}
    return CodebookSpec(features=MFCC, **chosen)


@pytest.fixture(scope="module")
def shards_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spoken = tones(9) + tones(2, seed=1, split="valid")
    return write_shards(tmp_path_factory.mktemp("shards"), spoken)


def test_kmeans_finds_clusters_as_tight_as_scikit_learns() -> None:
    frames = np.random.default_rng(0).gamma(2, size=(3000, 5)).astype(np.float32)
    found = cluster(frames, 7, iterations=25, redo=5, seed=1)
    reference = KMeans(7, n_init=5, random_state=0).fit(frames)
    inertia = Centroids(found.centroids).fit(frames).inertia_per_frame
    assert inertia == pytest.approx(reference.inertia_ / len(frames), rel=5e-3)
    # The objective after the last update, as faiss counted it, is of centroids one iteration older.
    assert found.inertia_per_iteration[-1] >= inertia * (1 - 1e-5)
    assert len(found.inertia_per_iteration) == 25


def test_kmeans_uses_every_frame_of_its_sample() -> None:
    # One cluster's centroid is the mean of all frames: by default faiss would take 256 of them.
    frames = blobs(4000)
    found = cluster(frames, 1, iterations=3, redo=1, seed=0)
    mean = frames.mean(axis=0, dtype=np.float64)
    require_close(found.centroids[0], mean, 4000, size=float(np.abs(frames).max()))


def test_the_same_seed_gives_the_same_centroids() -> None:
    frames = blobs(2000)
    first, again, other = (cluster(frames, 7, iterations=2, redo=1, seed=seed).centroids for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_fewer_frames_than_clusters_are_refused() -> None:
    with pytest.raises(BadDataError, match=r"TOO_FEW_FRAMES: 6 frames, .* at 7 clusters"):
        cluster(blobs(6), 7, iterations=1, redo=1, seed=0)


def test_a_sample_that_is_not_finite_is_refused() -> None:
    frames = blobs(50)
    frames[3, 1] = np.inf
    with pytest.raises(BadDataError, match="NOT_FINITE"):
        cluster(frames, 7, iterations=1, redo=1, seed=0)


def test_labels_are_the_nearest_centroids() -> None:
    frames, centroids = blobs(500), blobs(40, seed=1)
    distances = ((frames[:, None].astype(np.float64) - centroids[None]) ** 2).sum(axis=2)
    labels = Centroids(centroids).assign(frames)
    assert labels.dtype == np.uint16
    largest = float((frames**2).sum(axis=1).max())
    require_nearest(labels, distances, largest, 3 * 5)  # |x|^2 - 2 x.c + |c|^2


def test_a_frame_that_is_not_a_number_names_its_utterance() -> None:
    frames = blobs(9)
    frames[4, 2] = np.nan
    with pytest.raises(BadDataError, match=r"LABEL_RANGE: no cluster for frame 4 of 9.*some-key"):
        Centroids(blobs(3)).assign(frames, "some-key")


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(BadDataError, match=r"\(9, 5\), expected \(F, 6\)"):
        Centroids(blobs(3, channels=6)).assign(blobs(9))


def test_the_fit_counts_what_is_used() -> None:
    centroids = Centroids(np.array([[0.0], [10.0], [20.0]], np.float32))
    fit = centroids.fit(np.array([[1.0], [-1.0], [10.0], [12.0]], np.float32))
    assert fit.inertia_per_frame == pytest.approx((1 + 1 + 0 + 4) / 4)
    assert (fit.used_clusters, fit.empty_clusters) == (2, 1)
    assert (fit.entropy_bits, fit.perplexity) == (pytest.approx(1), pytest.approx(2))


def draw(folders: list[Path], num_frames: int, **fields: int) -> Drawing:
    """What a sample of the train split is made of, with shares by hours."""
    pools = read_pools(folders, [str(folder) for folder in folders], "train", 100).pools
    weights = np.array(samples_per_folder(pools), np.float64)
    return draw_utterances(pools, 100, num_frames, weights, spec(**fields))


def work_of(*folders: Path) -> FramesWork:
    return FramesWork(folders, MFCC, None, 0, LOCAL_PLAN)


def test_the_sample_has_the_size_asked_for_and_comes_from_all_speakers(shards_dir: Path, tmp_path: Path) -> None:
    drawing = draw([shards_dir], 150, frames_per_utterance=50)
    sample = sample_frames(drawing, work_of(shards_dir), tmp_path)
    assert sample.shape == (150, 39)
    assert Counter(drawing.speakers.tolist()) == {0: 1, 1: 1, 2: 1}


def test_a_sample_larger_than_the_corpus_is_the_corpus(shards_dir: Path, tmp_path: Path) -> None:
    drawing = draw([shards_dir], 10**6)
    sample = sample_frames(drawing, work_of(shards_dir), tmp_path)
    expected = np.concatenate([mfcc(quantise(item.waveform)) for item in tones(9)])
    assert len(drawing.rows) == 9
    np.testing.assert_allclose(sample.sum(axis=0), expected.sum(axis=0), rtol=1e-3, atol=0.5)


def test_frames_are_of_the_whole_length_of_an_utterance(tmp_path: Path) -> None:
    """Each frame's pitch tells its place: a tone that rises from 500 to 4000 Hz in 20 s."""
    times_s = np.arange(20 * 16000) / 16000
    rising = 0.3 * np.sin(2 * np.pi * (500 * times_s + 3500 * times_s**2 / 40))
    shards = write_shards(tmp_path, [Spoken("rising", "one", rising.astype(np.float32))])
    sample = sample_frames(draw([shards], 80), work_of(shards), tmp_path)
    whole = mfcc(quantise(rising))
    places = ((sample[:, None] - whole[None]) ** 2).sum(axis=2).argmin(axis=1) / len(whole)
    assert len(places) == 80
    tenths = np.bincount((10 * places).astype(int), minlength=10)
    assert tenths.min() >= 1


def quantise(waveform: np.ndarray) -> np.ndarray:
    return (np.round(waveform * 32768) / 32768).astype(np.float32)


def test_the_same_name_in_two_corpora_is_two_speakers(tmp_path: Path) -> None:
    folders = [write_shards(tmp_path / str(seed), tones(3, seed=seed)) for seed in (1, 2)]
    assert draw(folders, 10**6).num_speakers == 6


@pytest.mark.parametrize("unknown", ["", "unknown"])
def test_utterances_of_unknown_speakers_are_speakers_of_their_own(tmp_path: Path, unknown: str) -> None:
    known = tones(4)
    nobody = [replace(item, speaker=unknown) for item in tones(5, seed=1)]
    drawing = draw([write_shards(tmp_path, known + nobody)], 10**6)
    assert sorted(Counter(drawing.speakers.tolist()).values()) == [1] * 5 + [1, 1, 2]


def test_a_codebook_is_learned_from_the_train_split_alone(tmp_path: Path) -> None:
    train, valid = tones(6), tones(2, seed=1, split="valid")
    louder = [Spoken(item.key, item.speaker, 2 * item.waveform, item.phones, "valid") for item in valid]
    centroids = []
    for name, spoken in (("one", train + valid), ("other", train + louder)):
        shards, out = write_shards(tmp_path / name, spoken), tmp_path / f"{name}-codebook"
        out.mkdir()
        facts = build_codebook(spec(), {"tones": shards}, None, out, LOCAL_PLAN)
        assert facts.valid is not None
        assert facts.valid.num_frames == spec().num_clusters * 50 // 10
        centroids.append(np.load(out / "centroids.npy"))
    np.testing.assert_array_equal(*centroids)


def test_building_again_gives_the_same_bytes(tmp_path: Path, shards_dir: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        build_codebook(spec(), {"tones": shards_dir}, None, folder, LOCAL_PLAN)
    for name in ("centroids.npy", "centroids.faiss", "codebook.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_the_facts_of_a_codebook_describe_its_fit(tmp_path: Path, shards_dir: Path) -> None:
    facts = build_codebook(spec(), {"tones": shards_dir}, None, tmp_path, LOCAL_PLAN)
    assert facts == read_codebook(tmp_path)
    assert facts.features == MFCC
    assert facts.train.num_frames == 200
    assert facts.train.used_clusters == 4
    assert 0 < facts.train.entropy_bits <= 2
    assert facts.inertia_per_iteration[0] > facts.inertia_per_iteration[-1]
    assert facts.sample_speakers == 3
    centroids = Centroids.load(tmp_path)
    assert (centroids.num_clusters, centroids.num_channels) == (4, 39)


def test_faiss_reads_the_index(tmp_path: Path, shards_dir: Path) -> None:
    import faiss

    build_codebook(spec(), {"tones": shards_dir}, None, tmp_path, LOCAL_PLAN)
    index = faiss.read_index(str(tmp_path / "centroids.faiss"))
    np.testing.assert_array_equal(index.reconstruct_n(0, index.ntotal), np.load(tmp_path / "centroids.npy"))


def test_centroids_that_were_changed_are_refused(tmp_path: Path, shards_dir: Path) -> None:
    build_codebook(spec(), {"tones": shards_dir}, None, tmp_path, LOCAL_PLAN)
    path = tmp_path / "centroids.npy"
    blob = bytearray(path.read_bytes())
    blob[-1] ^= 1
    path.write_bytes(blob)
    with pytest.raises(BadDataError, match="CHECKSUM"):
        Centroids.load(tmp_path)


def test_a_broken_codebook_json_is_named_with_its_field(tmp_path: Path, shards_dir: Path) -> None:
    build_codebook(spec(), {"tones": shards_dir}, None, tmp_path, LOCAL_PLAN)
    path = tmp_path / "codebook.json"
    path.write_text(path.read_text().replace('"num_clusters"', '"clusters"'))
    with pytest.raises(BadDataError, match=r"RECORD_BROKEN(.|\n)*num_clusters(.|\n)*codebook\.json"):
        read_codebook(tmp_path)


def test_too_little_speech_for_the_clusters_is_refused(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", tones(1))
    with pytest.raises(BadDataError, match="TOO_FEW_FRAMES"):
        build_codebook(spec(num_clusters=100), {"tones": shards}, None, tmp_path, LOCAL_PLAN)


def test_k_means_takes_one_thread_whatever_was_set_before() -> None:
    before = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(2)
        sample = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
        cluster(sample, 2, iterations=1, redo=1, seed=0)
        assert faiss.omp_get_max_threads() == 1
    finally:
        faiss.omp_set_num_threads(before)
