"""Find the nearest centroid of each frame on a CPU, by faiss: exact search, no approximation.

Legend: F frames, D channels, K clusters.
"""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError
from wavlm.features.mfcc import Floats
from wavlm.labels.facts import Fit, read_codebook
from wavlm.labels.files import Labels
from wavlm.labels.quality import cluster_shares, entropy_bits
from wavlm.storage.files import atomic_path
from wavlm.storage.seals import sha256_as_it_is

# The label of a frame without a nearest centroid, such as one that holds a NaN. K is at most 65535.
NO_CLUSTER = 65535


class Centroids:
    """The centroids of a codebook, (K, D)."""

    def __init__(self, centroids: Floats) -> None:
        self.num_clusters, self.num_channels = centroids.shape
        self._index = faiss.IndexFlatL2(self.num_channels)
        self._index.add(np.ascontiguousarray(centroids, dtype=np.float32))

    @classmethod
    def load(cls, codebook_dir: Path) -> Centroids:
        """The centroids in a codebook folder, see `read_centroids`."""
        return cls(read_centroids(codebook_dir))

    def write_index(self, path: Path) -> None:
        """Write the centroids as a faiss index, for other tools. Nothing here reads it."""
        with atomic_path(path) as temporary:
            temporary.write_bytes(faiss.serialize_index(self._index).tobytes())  # faiss's own errors tell no errno

    def search(self, frames: Floats) -> tuple[Labels, Floats]:
        """Label of each frame and squared distance to its centroid: (F, D) -> (F,), (F,).

        A frame without a nearest centroid gets NO_CLUSTER.
        """
        distances, labels = self._index.search(np.ascontiguousarray(frames), 1)
        return labels[:, 0].astype(np.uint16), distances[:, 0]  # faiss answers -1, as uint16 NO_CLUSTER

    def find_nearest(self, features: Floats, key: str = "?") -> tuple[Labels, Floats]:
        """Like `search`, for the features of one utterance. `key` is the utterance that errors name.

        Raises BadDataError: FEATURE_SHAPE if D is another one, LABEL_RANGE if a frame has no nearest centroid.
        """
        if features.ndim != 2 or features.shape[1] != self.num_channels:
            raise BadDataError(
                "FEATURE_SHAPE",
                f"features of shape {features.shape}, expected (F, {self.num_channels}); at {key}; "
                "make the codebook again",
            )
        labels, distances = self.search(features)
        refuse_unassigned(labels, key)
        return labels, distances

    def assign(self, features: Floats, key: str = "?") -> Labels:
        """Label of each frame: (F, D) -> (F,). Errors as in `find_nearest`."""
        return self.find_nearest(features, key)[0]

    def fit(self, features: Floats) -> Fit:
        """How frames use the clusters: (F, D)."""
        labels, distances = self.find_nearest(features)
        counts = np.bincount(labels, minlength=self.num_clusters)
        return count_fit(counts, float(distances.mean(dtype=np.float64)) if len(labels) else 0.0)


def count_fit(counts: npt.NDArray[np.int64], inertia_per_frame: float) -> Fit:
    """How frames use clusters, given the number of frames of each, (K,)."""
    used = int((counts > 0).sum())
    entropy = entropy_bits(cluster_shares(counts))
    return Fit(
        num_frames=int(counts.sum()),
        inertia_per_frame=inertia_per_frame,
        used_clusters=used,
        empty_clusters=len(counts) - used,
        entropy_bits=entropy,
        perplexity=2.0**entropy,
    )


def read_centroids(codebook_dir: Path) -> Floats:
    """`centroids.npy` (K, D); raises BadDataError (CHECKSUM) if its sha256 is not the one in `codebook.json`."""
    path = codebook_dir / "centroids.npy"
    codebook = read_codebook(codebook_dir)
    found = sha256_as_it_is(path) if path.is_file() else "no file"
    if found != codebook.sha256:
        raise _not_those(f"sha256 {found}", codebook.sha256, path)
    centroids: Floats = np.load(path, allow_pickle=False)
    if centroids.shape != (expected := (codebook.num_clusters, codebook.num_channels)):
        raise _not_those(f"shape {centroids.shape}", str(expected), path)
    return centroids


def _not_those(found: str, expected: str, path: Path) -> BadDataError:
    return BadDataError("CHECKSUM", f"found {found}, expected {expected}; at {path}; make the codebook again")


def refuse_unassigned(labels: Labels, key: str) -> None:
    """Raise BadDataError (LABEL_RANGE) if a frame of an utterance has no nearest centroid, as for a NaN."""
    bad = (labels == NO_CLUSTER).reshape(len(labels), -1).any(axis=1) if len(labels) else np.zeros(0, np.bool_)
    if bad.any():
        raise BadDataError(
            "LABEL_RANGE",
            f"no cluster for frame {int(bad.argmax())} of {len(bad)}: its features are not finite; at utterance {key}; "
            "check it and the teacher",
        )
