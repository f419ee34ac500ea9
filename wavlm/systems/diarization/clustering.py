"""Agglomerative clustering with average linkage: of windows, and of the speakers of blocks, which must stay apart.

Distances are held once per pair: 370 MB for the 9,600 windows of two hours, and as much again while they are joined.

Legend: N embeddings, D channels, P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from wavlm.evaluation.metrics.checks import Floats
from wavlm.systems.diarization.plda import Plda

Integers = npt.NDArray[np.int64]

APART = 1e4  # the distance of two that must not be joined (Kinoshita et al. 2021); the mean over a cluster keeps it


def cluster_by_cosine(embeddings: Floats, stop: float, count: int | None = None) -> Integers:
    """A label per embedding (N, D), from 0 on in the order of their first one.

    Clusters are joined while the mean cosine of their embeddings is at least `stop`, or until `count` are left.
    """
    if len(embeddings) < 2:
        return np.zeros(len(embeddings), dtype=np.int64)
    return _cut(np.nan_to_num(pdist(embeddings, "cosine"), nan=1.0), 1.0 - stop, count)


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
    return _cut(distances, -stop - least, count)


def cluster_apart(embeddings: Floats, blocks: Sequence[int], farthest: float, count: int | None = None) -> Integers:
    """As `cluster_by_cosine`, by Euclidean distance up to `farthest`; two of one block never get one label.

    blocks: the number of each embedding's block. count: clusters that are wanted; where one block has more speakers, or
    where blocks leave no other way, there are more.
    """
    if len(embeddings) < 2:
        return np.zeros(len(embeddings), dtype=np.int64)
    distances = pdist(embeddings)
    numbers = np.asarray(blocks)
    left, right = np.triu_indices(len(numbers), 1)
    apart = numbers[left] == numbers[right]
    # The mean over two clusters is at least this by the number of their pairs, so none that has one is ever joined.
    limit = max(APART, 2 * farthest, 2 * float(distances.max())) * len(numbers) ** 2
    distances[apart] = limit
    if count is None:
        return _cut(distances, farthest, None)
    tree = linkage(distances, "average")
    wanted = max(count, len(numbers) - int((tree[:, 2] < limit / len(numbers) ** 2).sum()))
    return _in_order(fcluster(tree, wanted, "maxclust"))


def _cut(distances: Floats, farthest: float, count: int | None) -> Integers:
    """Labels from the distances of all pairs (P,)."""
    tree = linkage(distances, "average")
    if count is not None:
        return _in_order(fcluster(tree, count, "maxclust"))
    return _in_order(fcluster(tree, farthest, "distance"))


def _in_order(labels: npt.NDArray[np.int32]) -> Integers:
    _, firsts, numbers = np.unique(labels, return_index=True, return_inverse=True)
    ranks = np.empty(len(firsts), dtype=np.int64)
    ranks[np.argsort(firsts)] = np.arange(len(firsts))
    found: Integers = ranks[numbers]
    return found
