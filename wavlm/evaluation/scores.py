"""Stage scores: how well clusters of each layer of a model agree with phones, compared with MFCC.

Each layer is clustered by k-means, with the same K and on the same 50 Hz frames. MFCC is clustered in the same way and
counts as layer 0. Train utterances with timed phones are for k-means; the label quality is measured on valid ones. If
only one of the splits has phones, one half of its utterances is for k-means, and the other half is measured. The
recipe's field for this stage is `probe`.

Legend: N samples, F frames, D channels, K clusters.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from wavlm.evaluation.facts import SCORES_PLOT, LayerScore, ScoresFacts, scores_path
from wavlm.evaluation.plot import plot_scores
from wavlm.execution.progress import Progress, no_progress
from wavlm.features.extract import one_thread
from wavlm.features.frame_function import mfcc_at_frame_rate
from wavlm.features.hidden import HiddenLayers, default_device
from wavlm.features.mfcc import Floats
from wavlm.labels.centroids import Centroids
from wavlm.labels.codebook import cluster
from wavlm.labels.facts import Quality
from wavlm.labels.files import Labels
from wavlm.labels.quality import label_quality
from wavlm.nn.description import read_network
from wavlm.rng import rng_for, seed_for
from wavlm.shards import Utterance, read_listing, stream_with_phones
from wavlm.specs import ScoresSpec
from wavlm.storage.files import atomic_path, write_json

# Frames per cluster for k-means. Measured: four times as many lower the inertia by 0.8 %.
FIT_FRAMES_PER_CLUSTER = 256
MAX_SAMPLE_BYTES = 2 << 30  # of all layers together; a larger sample is reduced to fewer frames
ITERATIONS = 25

# From a waveform (N,) to the frames of each layer, (F, D) at 50 Hz.
ExtractLayers = Callable[[Floats], list[Floats]]


def build_scores(
    spec: ScoresSpec,
    model_dir: Path,
    shards_dirs: Sequence[Path],
    out: Path,
    progress: Progress = no_progress,
) -> ScoresFacts:
    """Fill `out` with `scores.json` and, if any corpus has timed phones, `scores.png`; return the facts."""
    chosen = choose_utterances(spec, shards_dirs)
    if not chosen.fitted or not chosen.judged:
        facts = _without_phones(len(chosen.judged))
    else:
        facts = _score_layers(spec, model_dir, chosen, progress)
        with atomic_path(out / SCORES_PLOT) as path:
            figure = plot_scores(facts.scores, spec.num_clusters)
            figure.savefig(path, format="png", metadata={"Software": None})
    write_json(scores_path(out), facts.model_dump(mode="json"))
    return facts


@dataclass(frozen=True)
class Chosen:
    """Utterances with timed phones, each in one of the two roles, in random order."""

    fitted: tuple[Utterance, ...]  # k-means is fitted on them
    judged: tuple[Utterance, ...]  # label quality is measured on them
    judged_on: Literal["valid", "train"]  # the split of those that are judged


def choose_utterances(spec: ScoresSpec, shards_dirs: Sequence[Path]) -> Chosen:
    """A seeded choice of at most `max_utterances` among the utterances with phones, half of them for each role."""
    half = max(spec.max_utterances // 2, 1)
    train, valid = (_choose(spec, shards_dirs, split, 2 * half) for split in ("train", "valid"))
    if train and valid:
        return Chosen(train[:half], valid[:half], "valid")
    alone, middle = train or valid, len(train or valid) // 2
    return Chosen(alone[:middle], alone[middle:], "train" if train else "valid")


def _choose(spec: ScoresSpec, shards_dirs: Sequence[Path], split: str, count: int) -> tuple[Utterance, ...]:
    utterances = (item for shards_dir in shards_dirs for item in _read_with_phones(shards_dir, split))
    return tuple(heapq.nsmallest(count, utterances, key=lambda item: seed_for(spec.seed, "probe", item.key)))


def measure_quality(
    extract_layers: ExtractLayers,
    fitted: Sequence[Utterance],
    judged: Sequence[Utterance],
    spec: ScoresSpec,
    progress: Progress = no_progress,
) -> list[Quality]:
    """Label quality of each layer on the judged utterances, by k-means that is fitted on the others."""
    of_layers = label_layers(extract_layers, fitted, judged, spec, progress)
    return [
        label_quality(
            ((item.phones or (), found) for item, found in zip(judged, labels, strict=True)), spec.num_clusters
        )
        for labels in of_layers
    ]


def label_layers(
    extract_layers: ExtractLayers,
    fitted: Sequence[Utterance],
    judged: Sequence[Utterance],
    spec: ScoresSpec,
    progress: Progress = no_progress,
) -> list[list[Labels]]:
    """The labels (F,) of each judged utterance, layer by layer, by k-means that is fitted on the others."""
    samples = _sample_frames(extract_layers, fitted, spec, progress)
    codebooks = [Centroids(_fit_centroids(sample, spec)) for sample in samples]
    found: list[list[Labels]] = [[] for _ in codebooks]
    for done, item in enumerate(judged, len(fitted)):
        progress(done, len(fitted) + len(judged))
        for number, features in enumerate(extract_layers(item.waveform)):
            found[number].append(codebooks[number].assign(features, item.key))
    progress(len(fitted) + len(judged), len(fitted) + len(judged))
    return found


def layers_of(spec: ScoresSpec, model_dir: Path) -> tuple[int, ...]:
    """The layers of a model that are scored, from 1 on."""
    return spec.layers or tuple(range(1, read_network(model_dir).network.num_layers + 1))


def _without_phones(num_utterances: int) -> ScoresFacts:
    reason = "fewer than two utterances with timed phones in any corpus"
    return ScoresFacts(num_utterances=num_utterances, scores=(), reason=reason)


def _score_layers(spec: ScoresSpec, model_dir: Path, chosen: Chosen, progress: Progress) -> ScoresFacts:
    layers = layers_of(spec, model_dir)
    hidden = HiddenLayers(model_dir, layers, default_device())
    with one_thread():
        qualities = measure_quality(
            lambda waveform: [mfcc_at_frame_rate(waveform), *hidden(waveform)],
            chosen.fitted,
            chosen.judged,
            spec,
            progress,
        )
    scores = tuple(
        LayerScore(name=f"layer {layer}" if layer else "mfcc", layer=layer, quality=quality)
        for layer, quality in zip((0, *layers), qualities, strict=True)
    )
    best = max(scores[1:], key=lambda item: item.quality.pnmi)
    return ScoresFacts(
        num_utterances=len(chosen.fitted) + len(chosen.judged),
        judged_on=chosen.judged_on,
        num_clusters=spec.num_clusters,
        scores=scores,
        mfcc_pnmi=scores[0].quality.pnmi,
        best_pnmi=best.quality.pnmi,
        best_layer=best.layer,
    )


def _read_with_phones(shards_dir: Path, split: str) -> Iterator[Utterance]:
    """Utterances of a split with phones. An utterance without a phone may be followed by shards full of them."""
    for name in sorted(read_listing(shards_dir)):
        if name.startswith(f"{split}-"):
            yield from stream_with_phones(shards_dir / name)


def _sample_frames(
    extract_layers: ExtractLayers, utterances: Sequence[Utterance], spec: ScoresSpec, progress: Progress
) -> list[Floats]:
    """Frames for k-means, (F, D) of each layer. They are the same frames for all layers."""
    kept: list[list[Floats]] = []
    for done, item in enumerate(utterances):
        progress(done, 2 * len(utterances))  # about as many are measured afterwards
        layers = extract_layers(item.waveform)
        num_channels = sum(features.shape[1] for features in layers)
        num_frames = min(FIT_FRAMES_PER_CLUSTER * spec.num_clusters, MAX_SAMPLE_BYTES // (4 * num_channels))
        order = rng_for(spec.seed, "frames", item.key).permutation(len(layers[0]))
        chosen = order[: -(-num_frames // len(utterances))]
        kept.append([features[chosen] for features in layers])
    return [np.concatenate(of_layer) for of_layer in zip(*kept, strict=True)]


def _fit_centroids(sample: Floats, spec: ScoresSpec) -> Floats:
    seed = seed_for(spec.seed, "k-means") % 2**31
    return cluster(sample, spec.num_clusters, iterations=ITERATIONS, redo=1, seed=seed).centroids
