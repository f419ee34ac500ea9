"""Labels by random projections (BEST-RQ, arXiv 2202.01855): normalise, project, and take the nearest random vector.

    z = (x - mean) / scale,  p = z A_c,  label_c = argmax_k p . v_ck / |p|,  |v_ck| = 1

which is the vector nearest to p / |p|. A_c is uniform as Xavier's, v_ck normal and then normalised. Both follow from
the seed. Only mean and scale, the standard deviation, are measured.

Legend: B utterances, F frames, D channels, W width, C streams, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wavlm.errors import BadDataError
from wavlm.features.mfcc import Floats
from wavlm.labels.centroids import NO_CLUSTER
from wavlm.labels.files import Labels
from wavlm.rng import rng_for
from wavlm.specs import RandomProjectionSpec

LEAST_SCALE = 1e-3  # of a channel that is the same in all frames
# Normalised features beyond these are not normalised. Speech that is 20 dB softer has a mean of about -1.3.
MOST_MEAN, MOST_VARIANCE = 2.0, 10.0


@dataclass(frozen=True, eq=False)
class RandomProjections:
    """A quantizer of random projections."""

    mean: Floats  # (D,)
    scale: Floats  # (D,)
    projections: Floats  # (C, D, W)
    vectors: Floats  # (C, K, W), of length 1

    def normalise(self, frames: Floats) -> Floats:
        """Frames with mean 0 and variance 1, if they are as those that these were measured on: (F, D) -> (F, D)."""
        normalised: Floats = (frames - self.mean) / self.scale
        return normalised


class ProjectionAssign:
    """The function from frames (B, F, D) to labels (B, F), of several streams (B, F, C), on a device."""

    def __init__(self, quantizer: RandomProjections, device: str) -> None:
        move = [quantizer.mean, quantizer.scale, quantizer.projections, quantizer.vectors]
        self._mean, self._scale, self._projections, self._vectors = (torch.from_numpy(it).to(device) for it in move)

    def __call__(self, frames: Tensor) -> Tensor:
        labels = self.search(frames.flatten(0, -2))[0]
        return labels.to(torch.int16).view(*frames.shape[:-1], *labels.shape[1:])

    def search(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Labels and cosines of rows (N, D): (N,), of several streams (N, C), each. Not finite: NO_CLUSTER."""
        normalised = (rows - self._mean) / self._scale
        found = [
            torch.nn.functional.normalize(normalised @ matrix, dim=1) @ vectors.T
            for matrix, vectors in zip(self._projections, self._vectors, strict=True)
        ]
        nearest = [cosines.max(dim=1) for cosines in found]
        labels = torch.stack([it.indices.masked_fill(~it.values.isfinite(), NO_CLUSTER) for it in nearest], dim=1)
        cosines = torch.stack([it.values for it in nearest], dim=1)
        return (labels, cosines) if labels.shape[1] > 1 else (labels[:, 0], cosines[:, 0])


def fit_projections(sample: Floats, spec: RandomProjectionSpec) -> RandomProjections:
    """Measure mean and variance of a sample (F, D), and draw the rest from the seed.

    Raises BadDataError (TOO_FEW_FRAMES, NOT_FINITE).
    """
    if len(sample) < 2:
        raise BadDataError(
            "TOO_FEW_FRAMES",
            f"{len(sample)} frames, expected thousands; in the sample for mean and variance; give more speech",
        )
    if not np.isfinite(sample).all():
        raise BadDataError("NOT_FINITE", "the features hold NaN or infinity; in the sample; check the audio")
    width, channels = spec.width, sample.shape[1]
    bound = np.sqrt(6 / (channels + width))  # Glorot and Bengio 2010, equation 16
    projections, vectors = [], []
    for stream in range(spec.num_streams):
        rng = rng_for(spec.seed, "random projection", stream)
        projections.append(rng.uniform(-bound, bound, (channels, width)))
        drawn = rng.standard_normal((spec.num_clusters, width))
        vectors.append(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))
    return RandomProjections(
        mean=sample.mean(axis=0, dtype=np.float64).astype(np.float32),
        scale=np.maximum(sample.std(axis=0, dtype=np.float64), LEAST_SCALE).astype(np.float32),
        projections=np.stack(projections).astype(np.float32),
        vectors=np.stack(vectors).astype(np.float32),
    )


def refuse_unnormalised(normalised: Floats, where: Path | str) -> None:
    """Raise BadDataError (NOT_NORMALISED) if features (F, D) are far from mean 0 and variance 1.

    Such features all lie on one side, so few of the random vectors are ever the nearest: in a trial on real speech the
    perplexity of 8192 labels fell from 257 to 26.
    """
    if not normalised.size:
        return
    mean = float(normalised.mean(dtype=np.float64))
    variance = float(normalised.var(axis=0, dtype=np.float64).mean())
    if abs(mean) > MOST_MEAN or variance > MOST_VARIANCE:
        raise BadDataError(
            "NOT_NORMALISED",
            f"features of mean {mean:.2f} and variance {variance:.2f}, expected about 0 and 1; at {where}; fit the "
            "codebook on this speech too (codebook.speech), or bring it to the loudness of the other speech",
        )


def label_rows(quantizer: RandomProjections, frames: Floats) -> tuple[Labels, Floats]:
    """Labels (F,) or (F, C) of frames (F, D), and their squared distances (F, C) to the vectors."""
    labels, cosines = ProjectionAssign(quantizer, "cpu").search(torch.from_numpy(frames))
    distances: Floats = (2 - 2 * cosines).reshape(len(frames), -1).numpy()
    return labels.numpy().astype(np.uint16), distances
