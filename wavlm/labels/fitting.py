"""Fit a codebook to a sample of frames: k-means, random projections, or several codebooks that add up.

Legend: F frames, D channels, K clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wavlm.features.extract import one_thread
from wavlm.features.mfcc import Floats
from wavlm.labels.centroids import Centroids, count_fit
from wavlm.labels.facts import Fit
from wavlm.labels.files import Labels, first_stream
from wavlm.labels.kmeans import cluster, require_frames, write_centroids
from wavlm.labels.multi_codebook import SummedCodebooks, fit_codebooks
from wavlm.labels.pools import Pool
from wavlm.labels.quantizers import write_quantizer
from wavlm.labels.random_projection import fit_projections, label_rows, refuse_unnormalised
from wavlm.labels.sampling import Drawing
from wavlm.rng import seed_for
from wavlm.specs import CodebookSpec, FittedSource, MultiCodebookSpec, RandomProjectionSpec


@dataclass(frozen=True, eq=False)
class Samples:
    """The frames that a codebook is fitted on, held-out ones, and where the former come from."""

    train: Floats  # (F, D)
    valid: Floats  # (F, D)
    drawing: Drawing
    pools: Sequence[Pool]
    copies_of_valid: int

    @property
    def by_corpus(self) -> dict[int, npt.NDArray[np.bool_]]:
        """Which frames are of each corpus, by its number."""
        of_frames = np.repeat(self.drawing.folders, self.drawing.num_frames)
        return {int(number): of_frames == number for number in np.unique(of_frames)}


class Fitted(NamedTuple):
    """What the fitting of a codebook gives for its facts."""

    sha256: str
    train: Fit
    valid: Fit | None
    inertia_per_iteration: tuple[float, ...] = ()
    stream_errors: tuple[float, ...] = ()


def fit_codebook(spec: FittedSource, samples: Samples, names: Sequence[str], out: Path) -> Fitted:
    """Fit what a spec asks for, and write it into `out`."""
    match spec:
        case RandomProjectionSpec():
            return _fit_projections(spec, samples, names, out)
        case MultiCodebookSpec():
            return _fit_codebooks(spec, samples, out)
        case CodebookSpec():
            return _fit_kmeans(spec, samples, out)


def _fit_kmeans(spec: CodebookSpec, samples: Samples, out: Path) -> Fitted:
    clustering = cluster(
        samples.train,
        spec.num_clusters,
        iterations=spec.iterations,
        redo=spec.redo,
        seed=seed_for(spec.seed, "k-means") % 2**31,
    )
    centroids = Centroids(clustering.centroids)
    valid = centroids.fit(samples.valid) if len(samples.valid) else None
    return Fitted(
        write_centroids(clustering.centroids, out),
        centroids.fit(samples.train),
        valid,
        clustering.inertia_per_iteration,
    )


def _fit_projections(spec: RandomProjectionSpec, samples: Samples, names: Sequence[str], out: Path) -> Fitted:
    """Raises BadDataError (NOT_NORMALISED) if a corpus, or held-out speech, is unlike the rest."""
    quantizer = fit_projections(samples.train, spec)
    for number, rows in samples.by_corpus.items():
        refuse_unnormalised(quantizer.normalise(samples.train[rows]), f"corpus {names[number]}")
    refuse_unnormalised(quantizer.normalise(samples.valid) if len(samples.valid) else samples.valid, "held-out speech")
    fits = [
        _count(*label_rows(quantizer, rows), spec.num_clusters) if len(rows) else None
        for rows in (samples.train, samples.valid)
    ]
    return Fitted(write_quantizer(quantizer, out), fits[0] or count_fit(np.zeros(1, np.int64), 0.0), fits[1])


def _fit_codebooks(spec: MultiCodebookSpec, samples: Samples, out: Path) -> Fitted:
    require_frames(samples.train, spec.num_clusters)
    seed = seed_for(spec.seed, "codebooks") % 2**30
    with one_thread():
        fit = fit_codebooks(samples.train, spec.num_streams, spec.num_clusters, spec.iterations, seed)
        fits = [
            _count(fit.quantizer.encode(rows), fit.quantizer.errors(rows), spec.num_clusters) if len(rows) else None
            for rows in (samples.train, samples.valid)
        ]
        errors = _relative_errors(fit.quantizer, samples.valid if len(samples.valid) else samples.train)
    train = fits[0] or count_fit(np.zeros(1, np.int64), 0.0)
    return Fitted(write_quantizer(fit.quantizer, out), train, fits[1], fit.errors, errors)


def _relative_errors(quantizer: SummedCodebooks, rows: Floats) -> tuple[float, ...]:
    """The squared error with the first n codebooks, as a share of the variance, for each n."""
    variance = float(np.square(rows - rows.mean(axis=0)).sum(dtype=np.float64)) or 1.0
    counts = range(1, len(quantizer.centres) + 1)
    return tuple(float(quantizer.first(n).errors(rows).sum(dtype=np.float64)) / variance for n in counts)


def _count(labels: Labels, distances: Floats, num_clusters: int) -> Fit:
    """How the first stream of labels uses its clusters."""
    counts = np.bincount(first_stream(labels), minlength=num_clusters)
    return count_fit(counts, float(distances.mean(dtype=np.float64)))
