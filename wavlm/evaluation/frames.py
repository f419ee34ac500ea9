"""Frames of the layers of a model for k-means and other statistics: the same frames of every layer.

Legend: N samples, F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from wavlm.execution.progress import Progress
from wavlm.features.mfcc import Floats
from wavlm.labels.kmeans import cluster
from wavlm.rng import rng_for, seed_for
from wavlm.specs import ScoresSpec

# Frames per cluster for k-means. Measured: four times as many lower the inertia by 0.8 %.
FIT_FRAMES_PER_CLUSTER = 256
MAX_SAMPLE_BYTES = 2 << 30  # of all layers together; a larger sample is reduced to fewer frames
ITERATIONS = 25

# From a waveform (N,) to the frames of each layer, (F, D) at 50 Hz.
ExtractLayers = Callable[[Floats], list[Floats]]


class Heard(Protocol):
    """An utterance, in memory or in a shard."""

    @property
    def key(self) -> str: ...

    @property
    def waveform(self) -> Floats: ...


def sample_frames(
    extract_layers: ExtractLayers, utterances: Sequence[Heard], num_frames: int, seed: int, progress: Progress
) -> list[list[Floats]]:
    """About `num_frames` frames, evenly of all utterances: of each utterance (F, D) of each layer."""
    kept: list[list[Floats]] = []
    for done, item in enumerate(utterances):
        progress(done, len(utterances))
        layers = extract_layers(item.waveform)
        num_channels = sum(features.shape[1] for features in layers)
        most = min(num_frames, MAX_SAMPLE_BYTES // (4 * num_channels))
        order = rng_for(seed, "frames", item.key).permutation(len(layers[0]))
        chosen = order[: -(-most // len(utterances))]
        kept.append([features[chosen] for features in layers])
    return kept


def fit_centroids(sample: Floats, spec: ScoresSpec) -> Floats:
    """The centroids (K, D) of k-means on these frames, (F, D)."""
    seed = seed_for(spec.seed, "k-means") % 2**31
    return cluster(sample, spec.num_clusters, iterations=ITERATIONS, redo=1, seed=seed).centroids


def join_layers(kept: Sequence[Sequence[Floats]]) -> list[Floats]:
    """Frames of utterances, layer by layer: (F, D) of each layer."""
    return [np.concatenate(of_layer) for of_layer in zip(*kept, strict=True)]
