"""How often each label occurs in a folder of labels, in a bounded time.

Legend: K clusters.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from wavlm.labels.files import first_stream, read_labels
from wavlm.storage.seals import sealed_files


def count_labels(labels_dir: Path, num_clusters: int, enough: int) -> npt.NDArray[np.int64]:
    """The number of frames of each label of the first stream, (K,), of whole files until there are `enough`.

    Held-out speech comes first.
    """
    counts = np.zeros(num_clusters, np.int64)
    sealed = (Path(name) for name in sealed_files(labels_dir))  # one that is missing is noticed
    there = {path.stem for path in (*sealed, *labels_dir.glob("*.parquet")) if path.suffix == ".parquet"}
    for name in sorted(there, key=lambda name: (name < "valid", name)):
        for labels in read_labels(labels_dir, name).labels:
            counts += np.bincount(first_stream(labels), minlength=num_clusters)
        if counts.sum() >= enough:
            break
    return counts
