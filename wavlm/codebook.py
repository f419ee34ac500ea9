"""The codebook: k-means on a sampled, speaker-balanced, seeded subset of the train split.

Features are streamed into the sample and never written. What is kept: `centroids.npy` (K, D), the
same as a faiss index, and `codebook.json` with how well they fit.

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
import pyarrow as pa
import pyarrow.parquet as pq

from wavlm.errors import BadDataError
from wavlm.features import Extractor, Floats, extractor, label_rate_hz
from wavlm.files import read_json, replaced, sha256_of, write_json, written
from wavlm.progress import Progress, silent
from wavlm.rng import rng_for, seed_for
from wavlm.shards import Reader
from wavlm.specs import CodebookSpec
from wavlm.targets import num_labels

Integers = npt.NDArray[np.int64]
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
        with replaced(path) as temporary:
            faiss.write_index(self._index, str(temporary))

    @classmethod
    def load(cls, codebook_dir: Path) -> Centroids:
        """Read `centroids.npy`; raises BadDataError if it is not the one that was written."""
        path = codebook_dir / "centroids.npy"
        expected, found = read_json(codebook_dir / "codebook.json")["sha256"], sha256_of(path)
        if found != expected:
            raise BadDataError("CHECKSUM", f"sha256 {found}, expected {expected}; at {path}")
        return cls(np.load(path, allow_pickle=False))

    def assign(self, features: Floats, key: str = "?") -> Labels:
        """Label of each frame: (F, D) -> (F,). `key` is the utterance that errors name."""
        return self.nearest(features, key)[0]

    def nearest(self, features: Floats, key: str = "?") -> tuple[Labels, Floats]:
        """Label of each frame and its squared distance: (F, D) -> (F,), (F,).

        Raises BadDataError if there is no nearest centroid, as for a NaN.
        """
        if features.ndim != 2 or features.shape[1] != self.num_channels:
            raise BadDataError(
                "FEATURE_SHAPE",
                f"features of shape {features.shape}, expected (F, {self.num_channels}); at {key}",
            )
        distances, labels = self._index.search(np.ascontiguousarray(features), 1)
        # faiss answers -1 for a NaN, which as uint16 would be 65535.
        bad = (labels[:, 0] < 0) | (labels[:, 0] >= self.num_clusters)
        if bad.any():
            raise BadDataError(
                "LABEL_RANGE",
                f"no cluster for frame {int(bad.argmax())} of {len(bad)}: its features are not "
                f"finite; at utterance {key}",
            )
        return labels[:, 0].astype(np.uint16), distances[:, 0]

    def fit(self, features: Floats) -> Fit:
        """Judge the clusters on frames: (F, D)."""
        labels, distances = self.nearest(features)
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


def cluster(
    sample: Floats, num_clusters: int, *, iterations: int, redo: int, seed: int
) -> Clustering:
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


@dataclass(frozen=True)
class Utterances:
    """Rows of the indexes of several shards folders. All arrays have one entry a row."""

    folders: tuple[Path, ...]
    table: pa.Table  # shard, offset, size, key
    folder: Integers
    speaker: Integers  # numbered over all folders; equal names in two folders are two speakers
    num_samples: Integers


def read_utterances(shards_dirs: Sequence[Path], split: str) -> Utterances:
    """All utterances of a split, in the order of the folders and their indexes."""
    columns = ["key", "shard", "offset", "size", "samples", "speaker"]
    tables: list[pa.Table] = []
    speakers: list[Integers] = []
    for shards_dir in shards_dirs:
        path = shards_dir / "index.parquet"
        table = pq.read_table(path, columns=columns, filters=[("split", "==", split)])
        codes = table["speaker"].combine_chunks().dictionary_encode().indices
        first = max((int(ids.max()) + 1 for ids in speakers if len(ids)), default=0)
        speakers.append(codes.fill_null(0).to_numpy().astype(np.int64) + first)
        tables.append(table)
    table = pa.concat_tables(tables)
    return Utterances(
        folders=tuple(shards_dirs),
        table=table,
        folder=np.repeat(np.arange(len(tables)), [len(item) for item in tables]),
        speaker=np.concatenate(speakers),
        num_samples=table["samples"].to_numpy().astype(np.int64),
    )


def round_robin(speaker: Integers, rng: np.random.Generator) -> Integers:
    """An order of rows in which every speaker speaks once before any speaks again, and so on."""
    shuffled = rng.permutation(len(speaker))
    by_speaker = shuffled[np.argsort(speaker[shuffled], kind="stable")]
    _, first, counts = np.unique(speaker[by_speaker], return_index=True, return_counts=True)
    turn = np.arange(len(speaker)) - np.repeat(first, counts)
    place = np.repeat(rng.permutation(len(counts)), counts)
    return by_speaker[np.lexsort((place, turn))]


def sample_frames(
    utterances: Utterances,
    extract: Extractor,
    rate_hz: int,
    num_frames: int,
    seed: int,
    progress: Progress = silent,
) -> tuple[Floats, Integers]:
    """A sample of at most `num_frames` frames, (F, D), and the rows that it comes from.

    Utterances are taken in turn over speakers until they hold that many frames; of each a seeded,
    uniform choice of frames is kept, so that the sample has exactly the size asked for.
    """
    rng = rng_for(seed, "sample")
    order = round_robin(utterances.speaker, rng)
    lengths = num_labels(utterances.num_samples[order], rate_hz)
    needed = int(np.searchsorted(np.cumsum(lengths), num_frames)) + 1
    rows, frames = order[:needed], lengths[:needed]
    quotas = rng.multivariate_hypergeometric(frames, min(num_frames, int(frames.sum())))
    readers = [Reader(folder) for folder in utterances.folders]
    kept: list[Floats] = []
    for done, (row, quota) in enumerate(zip(rows, quotas, strict=True), 1):
        cells = utterances.table.slice(int(row), 1).to_pylist()[0]
        reader = readers[utterances.folder[row]]
        features = extract(reader.read_at(cells["shard"], cells["offset"], cells["size"]))
        chosen = rng_for(seed, "frames", cells["key"]).choice(len(features), quota, replace=False)
        kept.append(features[np.sort(chosen)])
        progress(done, len(rows))
    return (np.concatenate(kept) if kept else np.zeros((0, 1), np.float32)), rows


def build_codebook(
    spec: CodebookSpec,
    shards_dirs: Sequence[Path],
    teacher_dir: Path | None,
    out: Path,
    workers: int,  # noqa: ARG001  one thread, see `cluster`
    progress: Progress = silent,
) -> dict[str, Any]:
    """Fill `out` with `centroids.npy`, `centroids.faiss` and `codebook.json`; return the facts."""
    extract = extractor(spec.features, teacher_dir)
    rate_hz = label_rate_hz(spec.features)
    wanted = spec.sample_frames_per_cluster * spec.num_clusters
    train = read_utterances(shards_dirs, "train")
    sample, rows = sample_frames(train, extract, rate_hz, wanted, spec.seed, progress)
    found = cluster(
        sample,
        spec.num_clusters,
        iterations=spec.iterations,
        redo=spec.redo,
        seed=seed_for(spec.seed, "k-means") % 2**31,
    )
    centroids = Centroids(found.centroids)
    valid, _ = sample_frames(
        read_utterances(shards_dirs, "valid"), extract, rate_hz, wanted // VALID_SHARE, spec.seed
    )
    with written(out / "centroids.npy") as file:
        np.save(file, found.centroids, allow_pickle=False)
    centroids.write_index(out / "centroids.faiss")
    facts: dict[str, Any] = {
        "features": spec.features.model_dump(),
        "num_clusters": spec.num_clusters,
        "num_channels": int(sample.shape[1]),
        "label_rate_hz": rate_hz,
        "sample_utterances": len(rows),
        "sample_speakers": len(np.unique(train.speaker[rows])),
        "inertia_per_iteration": list(found.inertia_per_iteration),
        "train": asdict(centroids.fit(sample)),
        "valid": asdict(centroids.fit(valid)) if len(valid) else None,
        "sha256": sha256_of(out / "centroids.npy"),
    }
    write_json(out / "codebook.json", facts)
    return facts
