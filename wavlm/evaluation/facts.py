"""What the stage scores reports, the reader of `scores.json`, and the gain of one model over another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from wavlm.labels.facts import Quality
from wavlm.storage.facts import Facts, read_facts


class LayerScore(Facts):
    """The label quality of one layer."""

    name: str  # "mfcc", or "layer 4"
    layer: int  # from 1; 0: MFCC
    quality: Quality


class ScoresFacts(Facts):
    """The scores of a model. Without phones in any corpus there are no scores, and `reason` says so."""

    num_utterances: int  # for k-means and for the measurement together
    scores: tuple[LayerScore, ...]  # MFCC first
    judged_on: Literal["valid", "train"] | None = None  # the split of the utterances that the quality is measured on
    num_clusters: int | None = None
    mfcc_pnmi: float | None = None
    best_pnmi: float | None = None
    best_layer: int | None = None
    reason: str | None = None  # why there are no scores

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
    unit: Literal["speakers", "utterances"]  # what was drawn

    def show(self, theirs: str) -> str:
        """Figures, gain and interval, for people. `theirs`: the name of the other model."""
        drawn = f" of {self.num_blocks} speakers" if self.unit == "speakers" else ""
        return (
            f"{self.metric} {self.ours:.4f} against {self.theirs:.4f} of {theirs} on the same {self.num_utterances} "
            f"utterances{drawn}: gain {self.gain:+.4f}, {self.confidence:.4g} interval {self.low:+.4f} to "
            f"{self.high:+.4f}"
        )


SCORES_PLOT = "scores.png"


def scores_path(scores_dir: Path) -> Path:
    """The path of the facts in a scores folder."""
    return scores_dir / "scores.json"


def read_scores(scores_dir: Path) -> ScoresFacts:
    """The facts of a scores folder; raises BadDataError, naming the field, if `scores.json` is broken."""
    return read_facts(scores_path(scores_dir), ScoresFacts)
