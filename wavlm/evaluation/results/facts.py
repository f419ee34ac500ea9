"""What an evaluation reports: figures, how the head was chosen, and which layers it weighs. `results.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from wavlm.storage.facts import Facts, read_facts

RESULTS_FILE = "results.json"


class ConfidenceInterval(Facts):
    """Where a figure may lie if the same were measured on other examples of the same kind."""

    low: float
    high: float
    confidence: float = 0.95
    method: str  # "Wilson", or "bootstrap over 28 speakers"


class Figure(Facts):
    """One metric on one set of examples."""

    name: str  # as `accuracy`, `per`, `eer`
    value: float
    is_lower_better: bool = False
    interval: ConfidenceInterval | None = None  # None: on dev, or where no interval is known
    note: str = ""  # as "chosen on test, as the reference does"


class Amount(Facts):
    """How much a set of examples is."""

    utterances: int
    speakers: int  # 0: not known
    minutes: float


class Attempt(Facts):
    """One fit of the search."""

    learning_rate: float
    seed: int
    fold: str = ""
    dev: float | None  # the best score on the dev part by the first figure; None: the loss was no number any more
    update: int  # at which it was best
    updates: int  # until fitting ended


class LayerWeight(Facts):
    """One state in the weighted sum of the chosen heads: 0 is the encoder's input, n the output of layer n."""

    layer: int
    weight: float  # softmax weight, mean over folds and seeds
    norm: float  # mean L2 norm of the layer's frames over the dev part
    share: float  # weight x norm, divided by the sum over layers
    alone: float | None = None  # score on the dev part of a head that has this layer alone


class EvaluationFacts(Facts):
    """The results of one evaluation of one model."""

    evaluation: str
    task: str
    subject: str  # the model or baseline, for people
    reality: Literal["real", "simulated", "synthetic"]
    protocol: str = ""
    deviation: str = ""  # in what the protocol is not followed
    figures: tuple[Figure, ...] = ()
    train: Amount | None = None
    dev: Amount | None = None
    test: Amount | None = None
    was_cut: bool = False  # `max_utterances` left examples out
    learning_rate: float | None = None
    is_at_edge: bool = False  # the best learning rate is the first or last of the list
    attempts: tuple[Attempt, ...] = ()
    layers: tuple[LayerWeight, ...] = ()
    notes: tuple[str, ...] = ()  # sentences for a reader of these figures, as on speaker and channel

    @property
    def is_claim(self) -> bool:
        """Whether it says something about a model: speech was spoken, or a published protocol has it made.

        SUPERB's slot filling is Audio SNIPS, whose sentences a synthesiser speaks, and counts in its tables.
        """
        return self.reality != "synthetic" or (bool(self.protocol) and not self.deviation)

    @property
    def main(self) -> Figure | None:
        """The figure that tables show."""
        return self.figures[0] if self.figures else None


def results_path(folder: Path) -> Path:
    """The path of the facts in the folder of an evaluation."""
    return folder / RESULTS_FILE


def read_results(folder: Path) -> EvaluationFacts:
    """The facts of an evaluation; raises BadDataError, naming the field, if `results.json` is broken."""
    return read_facts(results_path(folder), EvaluationFacts)
