"""How often each label occurs in a folder of labels, in a bounded time.

Legend: K clusters.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from wavlm.labels.files import read_labels


def count_labels(labels_dir: Path, num_clusters: int, enough: int) -> npt.NDArray[np.int64]:
    """The number of frames of each label, (K,), of whole files until there are `enough`: held-out speech first."""
    counts = np.zeros(num_clusters, np.int64)
    names = sorted((path.stem for path in labels_dir.glob("*.parquet")), key=lambda name: (name < "valid", name))
    for name in names:
        for labels in read_labels(labels_dir, name).labels:
            counts += np.bincount(labels, minlength=num_clusters)
        if counts.sum() >= enough:
            break
    return counts
