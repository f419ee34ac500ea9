"""Scores: how much each layer of a model knows about phones, beside MFCC.

k-means with the same K on the same 50 Hz frames of MFCC and of each layer; fitted on one half of
the utterances with phone truth, judged on the other half. Each utterance is heard once: a view is
what one kind of features makes of it.

Legend: F frames, D channels, K clusters.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from wavlm.execution.progress import Progress, no_progress
from wavlm.features.frames import Floats, mfcc_at_frame_rate
from wavlm.features.hidden import HiddenLayers, default_device
from wavlm.labels.codebook import Centroids, cluster
from wavlm.labels.quality import NO_COUNTS, Quality, joint_counts, merge_counts
from wavlm.nn.files import read_network
from wavlm.rng import rng_for, seed_for
from wavlm.shards import Utterance, stream
from wavlm.specs import ScoresSpec
from wavlm.storage.files import atomic_path, write_json

# Frames a cluster that k-means is fitted on. Measured: a fourfold sample lowers inertia by 0.8%.
FIT_FRAMES_PER_CLUSTER = 256
MAX_SAMPLE_BYTES = 2 << 30  # of all views together; what is over it fits on fewer frames
ITERATIONS = 25

Views = Callable[[Floats], list[Floats]]


@dataclass(frozen=True)
class LayerScore:
    """Label quality of one kind of features."""

    layer: int  # 0: MFCC
    quality: Quality

    @property
    def name(self) -> str:
        return f"layer {self.layer}" if self.layer else "mfcc"


def build_scores(
    spec: ScoresSpec,
    model_dir: Path,
    shards_dirs: Sequence[Path],
    out: Path,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Fill `out` with `scores.json` and `scores.png`; return the facts.

    Without phone truth in any corpus there is nothing to score: the facts say so.
    """
    chosen = choose_utterances(spec, shards_dirs)
    if len(chosen) < 2:
        return _write_without_truth(len(chosen), out)
    network = read_network(model_dir).network
    layers = spec.layers or tuple(range(1, network.num_layers + 1))
    hidden = HiddenLayers(model_dir, layers, default_device())
    qualities = judge(lambda waveform: [mfcc_at_frame_rate(waveform), *hidden(waveform)], chosen, spec, progress)
    scores = [LayerScore(layer, quality) for layer, quality in zip((0, *layers), qualities, strict=True)]
    best = max(scores[1:], key=lambda item: item.quality.pnmi)
    facts: dict[str, Any] = {
        "num_utterances": len(chosen),
        "num_clusters": spec.num_clusters,
        "scores": [{"name": item.name, **asdict(item)} for item in scores],
        "mfcc_pnmi": scores[0].quality.pnmi,
        "best_pnmi": best.quality.pnmi,
        "best_layer": best.layer,
    }
    write_json(out / "scores.json", facts)
    with atomic_path(out / "scores.png") as path:
        plot(scores, spec.num_clusters).savefig(path, format="png", metadata={"Software": None})
    return facts


def choose_utterances(spec: ScoresSpec, shards_dirs: Sequence[Path]) -> list[Utterance]:
    """A seeded choice among all utterances with phones; any two of it are in random order."""
    return heapq.nsmallest(
        spec.max_utterances,
        (item for shards_dir in shards_dirs for item in _read_with_phones(shards_dir)),
        key=lambda item: seed_for(spec.seed, "probe", item.key),
    )


def judge(
    views: Views, utterances: Sequence[Utterance], spec: ScoresSpec, progress: Progress = no_progress
) -> list[Quality]:
    """Quality of each view: fitted on the first half of the utterances, judged on the second."""
    half = len(utterances) // 2
    codebooks = [
        Centroids(_fit_centroids(sample, spec)) for sample in _sample_frames(views, utterances[:half], spec, progress)
    ]
    totals = [NO_COUNTS for _ in codebooks]
    for done, item in enumerate(utterances[half:], half):
        progress(done, len(utterances))
        for number, features in enumerate(views(item.waveform)):
            labels = codebooks[number].assign(features, item.key)
            counted = joint_counts(item.phones or (), labels, spec.num_clusters)
            totals[number] = merge_counts([totals[number], counted])
    progress(len(utterances), len(utterances))
    return [total.quality() for total in totals]


def plot(scores: Sequence[LayerScore], num_clusters: int) -> Figure:
    """PNMI and phone purity over layers, MFCC as a level to beat."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    layers = [item.layer for item in scores[1:]]
    for name, values in (
        ("PNMI", [item.quality.pnmi for item in scores]),
        ("phone purity", [item.quality.phone_purity for item in scores]),
    ):
        (line,) = axes.plot(layers, values[1:], marker="o", label=name)
        axes.axhline(values[0], color=line.get_color(), linestyle="--", label=f"{name} of MFCC")
    axes.set(xlabel="layer", ylabel=f"label quality, K = {num_clusters}", xticks=layers)
    axes.margins(y=0.1)
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _write_without_truth(num_utterances: int, out: Path) -> dict[str, Any]:
    facts = {
        "num_utterances": num_utterances,
        "scores": [],
        "reason": "fewer than two utterances with timed phones in any corpus",
    }
    write_json(out / "scores.json", facts)
    return facts


def _read_with_phones(shards_dir: Path) -> Iterator[Utterance]:
    """Utterances with phones; a corpus that has none in its first shard is not searched further."""
    for shard in sorted(shards_dir.glob("*.tar")):
        found = False
        for utterance in stream(shard):
            if utterance.phones:
                found = True
                yield utterance
        if not found:
            return


def _sample_frames(views: Views, utterances: Sequence[Utterance], spec: ScoresSpec, progress: Progress) -> list[Floats]:
    """Frames to fit on, the same for all views: (F, D) each."""
    kept: list[list[Floats]] = []
    for done, item in enumerate(utterances):
        progress(done, 2 * len(utterances))
        found = views(item.waveform)
        num_channels = sum(features.shape[1] for features in found)
        num_frames = min(FIT_FRAMES_PER_CLUSTER * spec.num_clusters, MAX_SAMPLE_BYTES // (4 * num_channels))
        order = rng_for(spec.seed, "frames", item.key).permutation(len(found[0]))
        chosen = order[: -(-num_frames // len(utterances))]
        kept.append([features[chosen] for features in found])
    return [np.concatenate(of_view) for of_view in zip(*kept, strict=True)]


def _fit_centroids(sample: Floats, spec: ScoresSpec) -> Floats:
    seed = seed_for(spec.seed, "k-means") % 2**31
    return cluster(sample, spec.num_clusters, iterations=ITERATIONS, redo=1, seed=seed).centroids
