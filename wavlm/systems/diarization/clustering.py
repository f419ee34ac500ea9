"""Agglomerative clustering with average linkage of windows, by cosine or by PLDA.

Distances are held once per pair: 370 MB for the 9,600 windows of two hours, and as much again while they are joined.

Legend: N embeddings, D channels, K projected channels.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import pdist

from wavlm.evaluation.heads.apart import Integers, cut_tree
from wavlm.evaluation.metrics.checks import Floats
from wavlm.systems.diarization.plda import Plda


def cluster_by_cosine(embeddings: Floats, stop: float, count: int | None = None, most: int | None = None) -> Integers:
    """A label per embedding (N, D), from 0 on in the order of their first one.

    Clusters are joined while the mean cosine of their embeddings is at least `stop`, or until `count` are left. Never
    are more left than `most`.
    """
    if len(embeddings) < 2:
        return np.zeros(len(embeddings), dtype=np.int64)
    return cut_tree(np.nan_to_num(pdist(embeddings, "cosine"), nan=1.0), 1.0 - stop, count, most)


def cluster_by_plda(projected: Floats, plda: Plda, stop: float, count: int | None = None) -> Integers:
    """As `cluster_by_cosine`, by log likelihood ratios of embeddings that the PLDA has projected, (N, K)."""
    num = len(projected)
    if num < 2:
        return np.zeros(num, dtype=np.int64)
    distances = np.empty(num * (num - 1) // 2)
    at = 0
    for row in range(num - 1):
        distances[at : at + num - 1 - row] = -plda.ratios(projected[row : row + 1], projected[row + 1 :])[0]
        at += num - 1 - row
    least = float(distances.min())  # linkages are distances
    distances -= least
    return cut_tree(distances, -stop - least, count)
