"""Agglomerative clustering with average linkage, where some must stay apart: speakers of one block.

Legend: N embeddings, D channels, P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

APART = 1e4  # the distance of two that must not be joined (Kinoshita et al. 2021); the mean over a cluster keeps it


def cluster_apart(embeddings: Floats, blocks: Sequence[int], farthest: float, count: int | None = None) -> Integers:
    """A label per embedding (N, D), from 0 on in the order of their first one; two of one block never get one label.

    Clusters are joined while the mean Euclidean distance of their embeddings is at most `farthest`.

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
        return cut_tree(distances, farthest, None)
    tree = linkage(distances, "average")
    wanted = max(count, len(numbers) - int((tree[:, 2] < limit / len(numbers) ** 2).sum()))
    return _in_order(fcluster(tree, wanted, "maxclust"))


def cut_tree(distances: Floats, farthest: float, count: int | None, most: int | None = None) -> Integers:
    """Labels from the distances of all pairs (P,), joined up to a mean distance, or until `count` clusters are left.

    most: clusters that may be left; beyond the distance they are joined until they are no more.
    """
    tree = linkage(distances, "average")
    if count is not None:
        return _in_order(fcluster(tree, count, "maxclust"))
    found = _in_order(fcluster(tree, farthest, "distance"))
    if most is not None and found.max() >= most:
        return _in_order(fcluster(tree, most, "maxclust"))
    return found


def _in_order(labels: npt.NDArray[np.int32]) -> Integers:
    _, firsts, numbers = np.unique(labels, return_index=True, return_inverse=True)
    ranks = np.empty(len(firsts), dtype=np.int64)
    ranks[np.argsort(firsts)] = np.arange(len(firsts))
    found: Integers = ranks[numbers]
    return found
