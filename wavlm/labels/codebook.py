"""Stage codebook: k-means on a seeded sample of frames of the train split, with a share per corpus.

A codebook folder holds `centroids.npy` (K, D), the same as a faiss index, and `codebook.json` with how well they fit.

Two things differ from HuBERT's recipe (docs/algorithm.md section 11). k-means is faiss' plain one, not scikit-learn's
mini-batches. The sample is a fixed number of frames per cluster, few of each utterance, spread over corpora and
speakers, not all frames of a tenth of the utterances.

Legend: F frames, D channels, K clusters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError
from wavlm.execution.progress import Progress, no_progress
from wavlm.features.extract import ExtractionPlan, release_gpu_memory
from wavlm.features.frame_function import label_rate_hz
from wavlm.features.mfcc import Floats
from wavlm.labels.centroids import Centroids
from wavlm.labels.facts import CodebookFacts, CorpusShare, LanguageShare, codebook_path, without_name
from wavlm.labels.frames import FramesWork, sample_frames
from wavlm.labels.pools import Pool, read_pools
from wavlm.labels.sampling import Drawing, draw_shares, samples_per_folder
from wavlm.rng import seed_for
from wavlm.shards.listing import read_sample_rate
from wavlm.specs import CodebookSpec
from wavlm.storage.files import open_atomic, sha256_of, write_json

UTTERANCES_PER_WORKER = 500  # a process takes some seconds to start
VALID_SHARE = 10  # the sample of the valid split has a tenth of the frames of the train sample


@dataclass(frozen=True)
class Clustering:
    """The result of k-means. Inertia is the mean squared Euclidean distance to the nearest centroid."""

    centroids: Floats  # (K, D)
    inertia_per_iteration: tuple[float, ...]  # of the best attempt


def build_codebook(
    spec: CodebookSpec,
    shards: Mapping[str, Path],
    teacher_dir: Path | None,
    out: Path,
    plan: ExtractionPlan,
    progress: Progress = no_progress,
) -> CodebookFacts:
    """Fill `out` with `centroids.npy`, `centroids.faiss` and `codebook.json`; return the facts.

    shards: the shards folder of each corpus, by its name. `spec.shares` belong to them in this order.
    The features are computed in parts, on the device of `plan`. k-means uses one thread, see `cluster`.
    """
    num_frames = spec.sample_frames_per_cluster * spec.num_clusters
    rate_hz, sample_rate_hz = label_rate_hz(spec.features), read_sample_rate(*shards.values())
    names, languages = tuple(shards), bool(spec.sampling and spec.sampling.languages)
    train, valid = (
        read_pools(list(shards.values()), names, split, rate_hz, sample_rate_hz, languages=languages)
        for split in ("train", "valid")
    )
    work = FramesWork(tuple(shards.values()), spec.features, teacher_dir, spec.seed, plan, sample_rate_hz)
    drawing = draw_shares(train.pools, train.pools, rate_hz, num_frames, spec, sample_rate_hz)
    sample = sample_frames(drawing, work, out, _num_workers(drawing, plan), progress)
    clustering = cluster(
        sample,
        spec.num_clusters,
        iterations=spec.iterations,
        redo=spec.redo,
        seed=seed_for(spec.seed, "k-means") % 2**31,
    )
    held_out = draw_shares(valid.pools, train.pools, rate_hz, num_frames // VALID_SHARE, spec, sample_rate_hz)
    valid_sample = sample_frames(held_out, work, out, _num_workers(held_out, plan))
    release_gpu_memory(plan)
    centroids = Centroids(clustering.centroids)
    facts = CodebookFacts(
        features=without_name(spec.features),
        num_clusters=spec.num_clusters,
        num_channels=int(sample.shape[1]),
        label_rate_hz=rate_hz,
        sample_utterances=len(drawing.rows),
        sample_speakers=drawing.num_speakers,
        shares=_count_corpora(names, train.pools, drawing, sample_rate_hz),
        languages=_count_languages(train.pools, drawing, sample_rate_hz) if languages else (),
        copies_of_valid=train.copies_of_valid,
        inertia_per_iteration=clustering.inertia_per_iteration,
        train=centroids.fit(sample),
        valid=centroids.fit(valid_sample) if len(valid_sample) else None,
        sha256=_write_centroids(clustering.centroids, out),
    )
    write_json(codebook_path(out), facts.model_dump(mode="json"))
    return facts


def cluster(sample: Floats, num_clusters: int, *, iterations: int, redo: int, seed: int) -> Clustering:
    """k-means on all given frames, (F, D). Uses one thread, so that the result does not depend on the machine's size.

    Raises BadDataError: TOO_FEW_FRAMES if there are fewer frames than clusters, NOT_FINITE for NaN or infinity.
    """
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


def _num_workers(drawing: Drawing, plan: ExtractionPlan) -> int:
    """Processes for the sample: on a GPU one, which has all of it; on the CPU no more than the work is worth."""
    if plan.device != "cpu":
        return 1
    return min(plan.processes, max(1, len(drawing.rows) // UTTERANCES_PER_WORKER))


def _count_corpora(
    names: Sequence[str], pools: Sequence[Pool], drawing: Drawing, sample_rate_hz: int
) -> tuple[CorpusShare, ...]:
    """What each corpus gave to the sample: hours that there are, and what was taken."""
    hours = samples_per_folder(pools)
    return tuple(
        CorpusShare(corpus=name, **_count_share(hours[number] / sample_rate_hz, drawing, drawing.folders == number))
        for number, name in enumerate(names)
    )


def _count_languages(pools: Sequence[Pool], drawing: Drawing, sample_rate_hz: int) -> tuple[LanguageShare, ...]:
    """What each language of each corpus gave to the sample."""
    return tuple(
        LanguageShare(
            **pool.group._asdict(), **_count_share(pool.num_samples / sample_rate_hz, drawing, drawing.pools == number)
        )
        for number, pool in enumerate(pools)
    )


def _count_share(seconds: float, drawing: Drawing, is_here: npt.NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "hours": seconds / 3600,
        "utterances": int(is_here.sum()),
        "speakers": len(np.unique(drawing.speakers[is_here])),
        "frames": int(drawing.num_frames[is_here].sum()),
    }


def _write_centroids(centroids: Floats, out: Path) -> str:
    """Write the centroids as `centroids.npy` and as a faiss index; the sha256 of the former."""
    with open_atomic(out / "centroids.npy") as file:
        np.save(file, centroids, allow_pickle=False)
    Centroids(centroids).write_index(out / "centroids.faiss")
    return sha256_of(out / "centroids.npy")
