"""What stages achieved, read from complete artifacts: label quality, training, layer scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wavlm.corpus.facts import CorpusFacts
from wavlm.evaluation.facts import ScoresFacts
from wavlm.labels.facts import LabelsFacts
from wavlm.mixing.counts import MixingFacts
from wavlm.pipeline.artifacts import Labels, Model, Scores, Shards
from wavlm.pipeline.curves import Curve, read_curves
from wavlm.pipeline.parts import PartFigures
from wavlm.pipeline.store import Store
from wavlm.specs import name_features
from wavlm.storage.facts import Facts
from wavlm.train.facts import TRAINING_FILE, read_training


@dataclass(frozen=True)
class LabelQuality:
    """Label quality of one iteration, on the frames of the corpora with known phones."""

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
    """First and last numbers of one training. Losses are nats per frame that the loss counts."""

    updates: int
    train_loss: tuple[float, float] | None
    valid_loss: tuple[float, float] | None
    masked_accuracy: float | None
    mixed_accuracy: float | None
    majority: float | None  # masked accuracy of always guessing the commonest label
    copies_of_valid: int = 0  # utterances of train that were left out
    hard_perplexity: tuple[float, float] | None = None  # of a quantiser's codes, on held-out speech


@dataclass(frozen=True)
class LayerPnmi:
    """PNMI of k-means on each layer and on MFCC: same frames, same K."""

    num_clusters: int
    pnmi: Mapping[int, float]  # by layer, from 1 on
    mfcc_pnmi: float
    judged_on: Literal["valid", "train"] = "valid"  # the split of the speech that it is measured on

    @property
    def best_layer(self) -> int:
        return max(self.pnmi, key=lambda layer: self.pnmi[layer])


@dataclass(frozen=True)
class IterationResults:
    """One iteration as far as it got."""

    iteration: int
    quality: LabelQuality | None
    training: TrainingResults | None
    layers: LayerPnmi | None
    notes: tuple[str, ...] = ()  # sentences for a reader of these figures
    mixing: MixingFacts | None = None  # None: nothing was mixed
    parts: tuple[PartFigures, ...] = ()  # of each of several corpora and languages
    scores: ScoresFacts | None = None  # all that the stage scores reports; None: it was not run


class _Training(Facts):
    """What is needed of the facts of a training."""

    mixing: MixingFacts | None = None


def label_quality_of(labels: Sequence[Labels], store: Store) -> LabelQuality | None:
    """Label quality over the corpora with known phones, weighted by frames; None without any."""
    complete = [item for item in labels if store.is_complete(item)]
    qualities = [(item, store.facts(item, LabelsFacts).quality) for item in complete]
    known = [(item, quality) for item, quality in qualities if quality and quality.num_frames]
    if not known:
        return None
    frames = sum(quality.num_frames for _, quality in known)
    codebook = labels[0].codebook
    return LabelQuality(
        features=name_features(codebook.spec),
        num_clusters=codebook.spec.num_clusters,
        pnmi=sum(quality.pnmi * quality.num_frames for _, quality in known) / frames,
        phone_purity=sum(quality.phone_purity * quality.num_frames for _, quality in known) / frames,
        cluster_purity=sum(quality.cluster_purity * quality.num_frames for _, quality in known) / frames,
        num_frames=frames,
        frames_of=tuple(sorted(item.shards.key for item, _ in known)),
    )


def read_training_results(model_dir: Path) -> TrainingResults | None:
    """First and last numbers of a model's training curve; None if there is none."""
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
        copies_of_valid=read_training(model_dir).copies_of_valid if (model_dir / TRAINING_FILE).is_file() else 0,
        hard_perplexity=_ends(curves.get("valid/hard_perplexity")),
    )


def read_mixing(model: Model, store: Store) -> MixingFacts | None:
    """What mixing and effects did to the utterances of a training; None if nothing was mixed."""
    return store.facts(model, _Training).mixing


def read_scores_facts(scores: Scores | None, store: Store) -> ScoresFacts | None:
    """What the stage scores reports; None if it was not run."""
    return store.facts(scores, ScoresFacts) if scores is not None and store.is_complete(scores) else None


def read_layer_pnmi(scores: Scores | None, store: Store) -> LayerPnmi | None:
    """The PNMI that the stage scores found; None if it was not run or no corpus had known phones."""
    facts = read_scores_facts(scores, store)
    if facts is None:
        return None
    pnmi = {item.layer: item.quality.pnmi for item in facts.scores if item.layer}
    if not pnmi or facts.mfcc_pnmi is None or facts.num_clusters is None:
        return None
    return LayerPnmi(facts.num_clusters, pnmi, facts.mfcc_pnmi, facts.judged_on or "train")


def folders_with_phones(shards: Sequence[Shards], store: Store) -> list[Path]:
    """The folders of those shards that may hold timed phones."""
    return [store.path(item) for item in shards_with_phones(shards, store)]


def shards_with_phones(shards: Sequence[Shards], store: Store) -> list[Shards]:
    """Those shards that may hold timed phones: nobody need read all of the others to find none."""
    return [
        item
        for item in shards
        if not store.is_complete(item.corpus) or store.facts(item.corpus, CorpusFacts).with_phones > 0
    ]


def _ends(curve: Curve | None) -> tuple[float, float] | None:
    return (curve.values[0], curve.last) if curve else None


def _last(curve: Curve | None) -> float | None:
    return curve.last if curve else None
