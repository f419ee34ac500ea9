"""The codebook: k-means on a sampled, speaker-balanced, seeded subset of the train split.

What is kept: `centroids.npy` (K, D), the same as a faiss index, and `codebook.json` with how well
they fit.

Two things differ from HuBERT's recipe (docs/algorithm.md section 11): plain k-means by faiss, not
scikit-learn's mini-batches; and a fixed number of frames a cluster, spread over speakers, not all
frames of a tenth of the utterances.

Legend: F frames, D channels, K clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError
from wavlm.execution.progress import Progress, no_progress
from wavlm.features.extract import ExtractionPlan, release_gpu_memory
from wavlm.features.frames import Floats, frame_function
from wavlm.labels.assign import refuse_unassigned
from wavlm.labels.sampling import read_utterances, sample_frames
from wavlm.rng import seed_for
from wavlm.specs import CodebookSpec
from wavlm.storage.files import atomic_path, open_atomic, read_json, sha256_of, write_json

Labels = npt.NDArray[np.uint16]

VALID_SHARE = 10  # the valid split is judged on a tenth as many frames as the train sample


@dataclass(frozen=True)
class Clustering:
    """What k-means found. Inertia is the mean squared Euclidean distance to the own centroid."""

    centroids: Floats  # (K, D)
    inertia_per_iteration: tuple[float, ...]  # of the best attempt


@dataclass(frozen=True)
class Fit:
    """How a set of frames uses the clusters."""

    num_frames: int
    inertia_per_frame: float
    used_clusters: int
    empty_clusters: int
    entropy_bits: float
    perplexity: float


class Centroids:
    """Finds the nearest centroid of frames: exact search, no approximation."""

    def __init__(self, centroids: Floats) -> None:
        self.num_clusters, self.num_channels = centroids.shape
        self._index = faiss.IndexFlatL2(self.num_channels)
        self._index.add(np.ascontiguousarray(centroids, dtype=np.float32))

    def write_index(self, path: Path) -> None:
        """Write what faiss' own tools read; nothing here reads it."""
        with atomic_path(path) as temporary:
            faiss.write_index(self._index, str(temporary))

    @classmethod
    def load(cls, codebook_dir: Path) -> Centroids:
        """The centroids of a codebook, see `read_centroids`."""
        return cls(read_centroids(codebook_dir))

    def assign(self, features: Floats, key: str = "?") -> Labels:
        """Label of each frame: (F, D) -> (F,). `key` is the utterance that errors name."""
        return self.find_nearest(features, key)[0]

    def find_nearest(self, features: Floats, key: str = "?") -> tuple[Labels, Floats]:
        """Label of each frame and its squared distance: (F, D) -> (F,), (F,).

        Raises BadDataError if there is no nearest centroid, as for a NaN.
        """
        if features.ndim != 2 or features.shape[1] != self.num_channels:
            raise BadDataError(
                "FEATURE_SHAPE",
                f"features of shape {features.shape}, expected (F, {self.num_channels}); at {key}",
            )
        distances, labels = self._index.search(np.ascontiguousarray(features), 1)
        found = labels[:, 0].astype(np.uint16)  # faiss answers -1 for a NaN: NO_CLUSTER
        refuse_unassigned(found, key)
        return found, distances[:, 0]

    def fit(self, features: Floats) -> Fit:
        """Judge the clusters on frames: (F, D)."""
        labels, distances = self.find_nearest(features)
        counts = np.bincount(labels, minlength=self.num_clusters)
        used = int((counts > 0).sum())
        shares = counts[counts > 0] / max(1, len(labels))
        entropy_bits = float(-(shares * np.log2(shares)).sum())
        return Fit(
            num_frames=len(labels),
            inertia_per_frame=float(distances.mean(dtype=np.float64)) if len(labels) else 0.0,
            used_clusters=used,
            empty_clusters=self.num_clusters - used,
            entropy_bits=entropy_bits,
            perplexity=2.0**entropy_bits,
        )


def read_centroids(codebook_dir: Path) -> Floats:
    """`centroids.npy` (K, D); raises BadDataError if it is not the one that was written."""
    path = codebook_dir / "centroids.npy"
    expected, found = read_json(codebook_dir / "codebook.json")["sha256"], sha256_of(path)
    if found != expected:
        raise BadDataError("CHECKSUM", f"sha256 {found}, expected {expected}; at {path}")
    centroids: Floats = np.load(path, allow_pickle=False)
    return centroids


def cluster(sample: Floats, num_clusters: int, *, iterations: int, redo: int, seed: int) -> Clustering:
    """k-means of all given frames: (F, D). One thread, so that machines of any size agree.

    Raises BadDataError if there are fewer frames than clusters or a value is not finite.
    """
    if len(sample) < num_clusters:
        raise BadDataError(
            "TOO_FEW_FRAMES",
            f"{len(sample)} frames for {num_clusters} clusters; expected at least one frame a "
            "cluster, better a thousand: give more speech or fewer clusters",
        )
    if not np.isfinite(sample).all():
        raise BadDataError("NOT_FINITE", "the sample for k-means holds NaN or infinity")
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
    steps = (kmeans.iteration_stats or [])[-iterations:]  # faiss keeps those of worse attempts too
    inertia = tuple(float(step["obj"]) / len(sample) for step in steps)
    return Clustering(np.asarray(kmeans.centroids, np.float32), inertia)


def build_codebook(
    spec: CodebookSpec,
    shards_dirs: Sequence[Path],
    teacher_dir: Path | None,
    out: Path,
    plan: ExtractionPlan,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Fill `out` with `centroids.npy`, `centroids.faiss` and `codebook.json`; return the facts.

    Features come from one process and `plan`'s device; k-means is one thread, see `cluster`.
    """
    function = frame_function(spec.features, teacher_dir, plan.device)
    wanted = spec.sample_frames_per_cluster * spec.num_clusters
    train = read_utterances(shards_dirs, "train")
    sample, rows = sample_frames(train, function, wanted, spec.seed, plan, progress)
    found = cluster(
        sample,
        spec.num_clusters,
        iterations=spec.iterations,
        redo=spec.redo,
        seed=seed_for(spec.seed, "k-means") % 2**31,
    )
    centroids = Centroids(found.centroids)
    valid, _ = sample_frames(read_utterances(shards_dirs, "valid"), function, wanted // VALID_SHARE, spec.seed, plan)
    release_gpu_memory(plan)
    with open_atomic(out / "centroids.npy") as file:
        np.save(file, found.centroids, allow_pickle=False)
    centroids.write_index(out / "centroids.faiss")
    facts: dict[str, Any] = {
        "features": spec.features.model_dump(),
        "num_clusters": spec.num_clusters,
        "num_channels": int(sample.shape[1]),
        "label_rate_hz": function.rate_hz,
        "sample_utterances": len(rows),
        "sample_speakers": len(np.unique(train.speaker[rows])),
        "inertia_per_iteration": list(found.inertia_per_iteration),
        "train": asdict(centroids.fit(sample)),
        "valid": asdict(centroids.fit(valid)) if len(valid) else None,
        "sha256": sha256_of(out / "centroids.npy"),
    }
    write_json(out / "codebook.json", facts)
    return facts
