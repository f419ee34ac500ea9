"""Nearest centroids by one matrix product, compared with faiss and with exact distances."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
import torch

from wavlm.errors import BadDataError
from wavlm.labels.assign import MatmulAssign, make_assign
from wavlm.labels.centroids import NO_CLUSTER, refuse_unassigned


def draw(rows: int, channels: int, seed: int, offset: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (offset + rng.standard_normal((rows, channels))).astype(np.float32)


def labels_of(assign: object, frames: np.ndarray) -> np.ndarray:
    return assign(torch.from_numpy(frames)).numpy().view(np.uint16)


def distances(frames: np.ndarray, centroids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    apart = frames.astype(np.float64) - centroids[labels.astype(int)]
    return (apart**2).sum(axis=1)


@pytest.mark.parametrize(("channels", "num_clusters"), [(39, 100), (768, 500)])
def test_the_product_finds_what_faiss_finds(channels: int, num_clusters: int) -> None:
    frames, centroids = draw(6000, channels, 0), draw(num_clusters, channels, 1)
    index = faiss.IndexFlatL2(channels)
    index.add(centroids)
    expected = index.search(frames, 1)[1][:, 0]
    found = labels_of(MatmulAssign(centroids, "cpu"), frames)
    differ = found != expected
    assert differ.mean() <= 1e-4
    ours, theirs = (distances(frames, centroids, labels)[differ] for labels in (found, expected))
    assert (abs(ours - theirs) < 1e-5 * theirs).all()


def test_a_large_common_part_costs_no_precision() -> None:
    frames, centroids = draw(2000, 64, 0, offset=100.0), draw(50, 64, 1, offset=100.0)
    apart = frames[:, None].astype(np.float64) - centroids[None]
    exact = (apart**2).sum(axis=2)
    found = labels_of(MatmulAssign(centroids, "cpu"), frames)
    chosen = exact[np.arange(len(frames)), found]
    assert (chosen <= exact.min(axis=1) * (1 + 1e-5)).all()


def test_labels_are_in_the_order_of_their_frames() -> None:
    frames, centroids = draw(60, 5, 0), draw(9, 5, 1)
    assign = MatmulAssign(centroids, "cpu")
    batched = labels_of(assign, frames.reshape(3, 20, 5))
    np.testing.assert_array_equal(batched.reshape(60), labels_of(assign, frames))


@pytest.mark.parametrize("device_like", [True, False])
def test_of_equal_centroids_the_first_is_taken(device_like: bool) -> None:
    centroids = draw(8, 6, 0)[[0, 1, 2, 1, 2, 3, 0]]
    assign = MatmulAssign(centroids, "cpu") if device_like else make_assign(centroids, "cpu")
    found = labels_of(assign, centroids[None])
    np.testing.assert_array_equal(found, [[0, 1, 2, 1, 2, 5, 0]])


@pytest.mark.parametrize("device_like", [True, False])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_frame_that_is_not_finite_gets_no_label(device_like: bool, value: float) -> None:
    frames, centroids = draw(40, 6, 0), draw(8, 6, 1)
    frames[33, 2] = value
    assign = MatmulAssign(centroids, "cpu") if device_like else make_assign(centroids, "cpu")
    found = labels_of(assign, frames[None])[0]
    assert list(np.flatnonzero(found == NO_CLUSTER)) == [33]
    with pytest.raises(BadDataError, match=r"LABEL_RANGE: no cluster for frame 33 of 40.*some-key"):
        refuse_unassigned(found, "some-key")


def test_there_can_be_more_clusters_than_an_int16_counts() -> None:
    centroids = np.stack(np.divmod(np.arange(40_000), 200), axis=1).astype(np.float32)
    frames = centroids[[39_999, 32_768, 32_767, 0]] + np.float32(0.2)
    found = labels_of(MatmulAssign(centroids, "cpu"), frames)
    np.testing.assert_array_equal(found, [39_999, 32_768, 32_767, 0])
