"""What stages achieved, in numbers of complete artifacts: label quality, training, probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from wavlm.pipeline.artifacts import Labels, Scores
from wavlm.pipeline.curves import Curve, read_curves
from wavlm.pipeline.store import Store


@dataclass(frozen=True)
class LabelQuality:
    """Label quality of one iteration on the frames of the corpora with known phones."""

    features: str  # "MFCC" or "layer 4"
    num_clusters: int
    pnmi: float
    phone_purity: float
    cluster_purity: float
    num_frames: int
    frames_of: tuple[str, ...]  # keys of the shards whose phones are known

    def is_comparable(self, other: LabelQuality) -> bool:
        """Same frames, same K: only then are two figures side by side a comparison."""
        return (self.num_clusters, self.num_frames, self.frames_of) == (
            other.num_clusters,
            other.num_frames,
            other.frames_of,
        )


@dataclass(frozen=True)
class TrainingResults:
    """First and last numbers of one training; losses are nats per masked frame."""

    updates: int
    train_loss: tuple[float, float] | None
    valid_loss: tuple[float, float] | None
    masked_accuracy: float | None
    mixed_accuracy: float | None
    majority: float | None  # masked accuracy of always guessing the commonest label


@dataclass(frozen=True)
class LayerScores:
    """PNMI of k-means on each layer and on MFCC, same frames, same K."""

    num_clusters: int
    pnmi: Mapping[int, float]
    mfcc_pnmi: float

    @property
    def best_layer(self) -> int:
        return max(self.pnmi, key=lambda layer: self.pnmi[layer])


def label_quality_of(labels: Sequence[Labels], store: Store) -> LabelQuality | None:
    """Label quality over the corpora with known phones, weighted by frames; None without any."""
    complete = [(item, _quality(store, item)) for item in labels if store.is_complete(item)]
    known = [(item, quality) for item, quality in complete if quality]
    frames = sum(quality["num_frames"] for _, quality in known)
    if not frames:
        return None

    def mean(name: str) -> float:
        return sum(quality[name] * quality["num_frames"] for _, quality in known) / frames

    codebook = labels[0].codebook
    features = codebook.spec.features
    return LabelQuality(
        features="MFCC" if features.type == "mfcc" else f"layer {features.layer}",
        num_clusters=codebook.spec.num_clusters,
        pnmi=mean("pnmi"),
        phone_purity=mean("phone_purity"),
        cluster_purity=mean("cluster_purity"),
        num_frames=int(frames),
        frames_of=tuple(sorted(item.shards.key for item, _ in known)),
    )


def read_training_results(model_dir: Path) -> TrainingResults | None:
    """First and last numbers of a model's metrics.jsonl; None if there is none."""
    curves = read_curves(model_dir)
    if not curves:
        return None
    return TrainingResults(
        updates=max(curve.steps[-1] for curve in curves.values()),
        train_loss=_ends(curves.get("train/loss")),
        valid_loss=_ends(curves.get("valid/loss")),
        masked_accuracy=_last(curves.get("valid/masked_accuracy")),
        mixed_accuracy=_last(curves.get("valid_mixed/masked_accuracy")),
        majority=_last(curves.get("valid/majority")),
    )


def read_layer_scores(scores: Scores | None, store: Store) -> LayerScores | None:
    """What a probe found; None if it was not run or had no known phones."""
    if scores is None or not store.is_complete(scores):
        return None
    facts = store.facts(scores)
    found, mfcc, clusters = facts.get("scores"), facts.get("mfcc_pnmi"), facts.get("num_clusters")
    if not isinstance(found, list) or not isinstance(mfcc, float) or not isinstance(clusters, int):
        return None
    pnmi = dict(_layer(item) for item in found if isinstance(item, dict) and item.get("layer"))
    return LayerScores(clusters, pnmi, mfcc) if pnmi else None


def _layer(item: Mapping[str, JsonValue]) -> tuple[int, float]:
    layer, quality = item["layer"], item["quality"]
    if not isinstance(layer, int) or not isinstance(quality, dict):
        raise TypeError(f"a score of a layer expected, found {item}")
    return layer, to_number(quality["pnmi"]) or 0.0


def to_number(value: JsonValue) -> float | None:
    """A fact that is a number; None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None  # type: ignore[arg-type]


def _quality(store: Store, labels: Labels) -> dict[str, float] | None:
    quality = store.facts(labels).get("quality")
    if not isinstance(quality, Mapping):
        return None
    found = {name: to_number(value) for name, value in quality.items()}
    known = {name: value for name, value in found.items() if value is not None}
    return known if known.get("num_frames") else None


def _ends(curve: Curve | None) -> tuple[float, float] | None:
    return (curve.values[0], curve.last) if curve else None


def _last(curve: Curve | None) -> float | None:
    return curve.last if curve else None
