"""k-means on a sample of frames, and the files of its centroids.

Legend: F frames, D channels, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from wavlm.errors import BadDataError
from wavlm.features.mfcc import Floats
from wavlm.labels.centroids import Centroids
from wavlm.storage.files import open_atomic, sha256_of


@dataclass(frozen=True)
class Clustering:
    """The result of k-means. Inertia is the mean squared Euclidean distance to the nearest centroid."""

    centroids: Floats  # (K, D)
    inertia_per_iteration: tuple[float, ...]  # of the best attempt


def cluster(sample: Floats, num_clusters: int, *, iterations: int, redo: int, seed: int) -> Clustering:
    """k-means on all given frames, (F, D). Uses one thread, so that the result does not depend on the machine's size.

    Raises BadDataError: TOO_FEW_FRAMES if there are fewer frames than clusters, NOT_FINITE for NaN or infinity.
    """
    require_frames(sample, num_clusters)
    faiss.omp_set_num_threads(1)
    kmeans = faiss.Kmeans(
        sample.shape[1],
        num_clusters,
        niter=iterations,
        nredo=redo,
        seed=seed,
        # faiss' default of 256 would silently drop the rest of the sample.
        max_points_per_centroid=-(-len(sample) // num_clusters),
        min_points_per_centroid=1,
    )
    kmeans.train(np.ascontiguousarray(sample))
    statistics = (kmeans.iteration_stats or [])[-iterations:]  # faiss keeps those of worse attempts too
    inertia = tuple(float(iteration["obj"]) / len(sample) for iteration in statistics)
    return Clustering(np.asarray(kmeans.centroids, np.float32), inertia)


def require_frames(sample: Floats, num_clusters: int) -> None:
    """Raise BadDataError: TOO_FEW_FRAMES or NOT_FINITE for a sample (F, D) that cannot be clustered."""
    if len(sample) < num_clusters:
        raise BadDataError(
            "TOO_FEW_FRAMES",
            f"{len(sample)} frames, expected one per cluster or more, better a thousand; at {num_clusters} clusters; "
            "give more speech, or ask for fewer clusters",
        )
    if not np.isfinite(sample).all():
        raise BadDataError(
            "NOT_FINITE", "the features hold NaN or infinity; in the sample for k-means; check the teacher"
        )


def write_centroids(centroids: Floats, out: Path) -> str:
    """Write the centroids as `centroids.npy` and as a faiss index; the sha256 of the former."""
    with open_atomic(out / "centroids.npy") as file:
        np.save(file, centroids, allow_pickle=False)
    Centroids(centroids).write_index(out / "centroids.faiss")
    return sha256_of(out / "centroids.npy")
