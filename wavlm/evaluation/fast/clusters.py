"""Cluster quality without labels: how well k-means fits held-out frames, and how evenly they use its clusters.

- inertia share: mean squared distance to the nearest centroid, as a share of that to the mean of the frames. Unlike
  inertia it does not depend on the scale of a layer.
- used clusters, and the entropy of their shares in bits.
- Davies-Bouldin index (Davies and Bouldin 1979), lower is better: for each cluster the worst ratio of the widths of two
  clusters to the distance of their means. The silhouette would compare all pairs of frames: 300 million of them.

Legend: F frames, D channels, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavlm.features.mfcc import Floats
from wavlm.labels.centroids import Centroids
from wavlm.labels.files import Labels
from wavlm.labels.quality import cluster_shares, entropy_bits


@dataclass(frozen=True)
class ClusterQuality:
    """How frames lie in the clusters of a codebook."""

    inertia_share: float
    used_clusters: int
    entropy_bits: float
    davies_bouldin: float | None  # None: fewer than two clusters are used


def measure_clusters(frames: Floats, centroids: Floats) -> ClusterQuality:
    """The quality of the clusters of frames (F, D), given the centroids (K, D) that were fitted to others."""
    labels, squared = Centroids(centroids).find_nearest(frames)
    spread = float(((frames - frames.mean(axis=0)) ** 2).sum(axis=1).mean())
    counts = np.bincount(labels, minlength=len(centroids)).astype(np.int64)
    return ClusterQuality(
        inertia_share=float(squared.mean()) / spread if spread else 0.0,
        used_clusters=int((counts > 0).sum()),
        entropy_bits=entropy_bits(cluster_shares(counts)),
        davies_bouldin=_davies_bouldin(frames, labels),
    )


def _davies_bouldin(frames: Floats, labels: Labels) -> float | None:
    from scipy.spatial.distance import cdist

    used, place = np.unique(labels, return_inverse=True)
    if len(used) < 2:
        return None
    counts = np.bincount(place).astype(np.float64)
    means = np.zeros((len(used), frames.shape[1]))
    np.add.at(means, place, frames)
    means /= counts[:, None]
    widths = np.bincount(place, np.linalg.norm(frames - means[place], axis=1)) / counts
    apart = cdist(means, means)
    np.fill_diagonal(apart, np.inf)
    worst = np.max((widths[:, None] + widths[None]) / np.where(apart > 0, apart, np.inf), axis=1)
    return float(worst.mean())
