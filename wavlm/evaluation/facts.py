"""What the stage scores reports, the reader of `scores.json`, and the gain of one model over another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import SerializerFunctionWrapHandler, model_serializer

from wavlm.labels.facts import Quality
from wavlm.storage.facts import Facts, read_facts

Split = Literal["train", "valid"]
Mode = Literal["within", "across"]  # ABX: within speakers, or across them
Unit = Literal["speakers", "utterances"]  # what an interval draws
MODES: tuple[Mode, ...] = get_args(Mode)


class AbxScore(Facts):
    """The ABX error of phones in one layer. Lower is better; chance is 0.5."""

    mode: Mode
    error: float
    low: float | None  # ends of the interval; None: of too few utterances
    high: float | None
    confidence: float
    num_triplets: int
    num_cells: int  # an ordered pair of phones in one context of one speaker, and across speakers of one speaker of X
    num_pairs: int  # of phones
    num_speakers: int
    num_blocks: int  # that are drawn for the interval
    unit: Unit  # what they are


class LayerScore(Facts):
    """The label quality and the ABX errors of one layer."""

    name: str  # "mfcc", or "layer 4"
    layer: int  # from 1; 0: MFCC
    quality: Quality
    abx: tuple[AbxScore, ...] = ()  # within and across speakers, as far as there are triplets

    def abx_error(self, mode: Mode) -> float | None:
        """The ABX error within or across speakers; None if it was not measured."""
        return next((item.error for item in self.abx if item.mode == mode), None)


class LayerShape(Facts):
    """How the frames of one layer are spread: what needs no phones."""

    name: str  # "mfcc", or "layer 4"
    layer: int  # from 1; 0: MFCC
    corpus: str = ""  # of which corpus the frames are; empty: of all
    splits: tuple[Split, ...]  # of the frames
    num_frames: int
    num_utterances: int
    effective_rank: float
    # None: there were fewer frames for k-means than clusters.
    inertia_share: float | None = None
    used_clusters: int | None = None
    entropy_bits: float | None = None  # of the shares of the clusters
    davies_bouldin: float | None = None  # None also if fewer than two clusters are used


class ScoresFacts(Facts):
    """The scores of a model. Without phones in any corpus `scores` is empty, and `reason` says why."""

    num_utterances: int  # for k-means and for the measurement together
    scores: tuple[LayerScore, ...]  # MFCC first
    judged_on: Literal["valid", "train"] | None = None  # the split of the utterances that the quality is measured on
    num_clusters: int | None = None
    mfcc_pnmi: float | None = None
    best_pnmi: float | None = None
    best_layer: int | None = None
    reason: str | None = None  # why there are no scores
    shapes: tuple[LayerShape, ...] = ()  # of each layer, MFCC first: of all corpora, then of each of several
    advised_layer: int | None = None  # the layer to cluster next
    advice: str | None = None  # which layer to cluster next, and why
    notes: tuple[str, ...] = ()  # what was not measured, and why

    @model_serializer(mode="wrap")
    def _leave_out_none(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields that are None are not written."""
        return {name: value for name, value in dump(self).items() if value is not None}


class Gain(Facts):
    """How much better a model is than another one. Figures of both are of all utterances together."""

    metric: str
    ours: float
    theirs: float
    gain: float  # above 0: ours is better, whether the metric counts up or down
    low: float  # ends of the interval of the gain
    high: float
    confidence: float
    num_utterances: int
    num_blocks: int
    unit: Unit  # what was drawn

    def show(self, theirs: str) -> str:
        """Figures, gain and interval, for people. `theirs`: the name of the other model."""
        drawn = f" of {self.num_blocks} speakers" if self.unit == "speakers" else ""
        return (
            f"{self.metric} {self.ours:.4f} against {self.theirs:.4f} of {theirs} on the same {self.num_utterances} "
            f"utterances{drawn}: gain {self.gain:+.4f}, {self.confidence:.4g} interval {self.low:+.4f} to "
            f"{self.high:+.4f}"
        )


SCORES_PLOT = "scores.png"
SCORES_TABLE, SCORES_CSV = "scores.parquet", "scores.csv"


def scores_path(scores_dir: Path) -> Path:
    """The path of the facts in a scores folder."""
    return scores_dir / "scores.json"


def read_scores(scores_dir: Path) -> ScoresFacts:
    """The facts of a scores folder; raises BadDataError, naming the field, if `scores.json` is broken."""
    return read_facts(scores_path(scores_dir), ScoresFacts)
