"""Candidate and champion on the same held-out utterances of today: the gain by one metric, with an interval.

The figures that the champion was registered with are of the speech of its time. So both models are measured anew, on
what the candidate was trained with: its valid split, its labels, its masks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wavlm.evaluation.facts import Gain, Mode
from wavlm.execution.job import LabelledShards
from wavlm.labels.files import codebook_of
from wavlm.nn.description import WEIGHTS_FILE, read_header
from wavlm.pipeline.artifacts import Model
from wavlm.pipeline.results import folders_with_phones
from wavlm.pipeline.store import Store
from wavlm.pipeline.task_gain import measure_task
from wavlm.specs import Recipe, ScoresSpec
from wavlm.specs.gate import LOWER_IS_BETTER, WHOLE, explain_ungated, is_of_task

if TYPE_CHECKING:
    from wavlm.evaluation.scores import Chosen
    from wavlm.train.masked_prediction import MaskedPredictionSums

Floats = NDArray[np.float64]

FEWEST_UTTERANCES = 5  # of which an interval says something
PROBE_METRIC = "probe/pnmi"
ABX_METRICS: dict[str, Mode] = {"probe/abx_within": "within", "probe/abx_across": "across"}
# A validation metric is a quotient of two sums over utterances.
_QUOTIENTS: dict[str, Callable[[MaskedPredictionSums], tuple[float, float]]] = {
    "valid/loss": lambda sums: (sums.loss, sums.loss_frames),
    "valid/masked_accuracy": lambda sums: (sums.masked_correct, sums.masked_frames),
}


@dataclass(frozen=True)
class Contest:
    """A model of a recipe against the champion, whose files are in a folder."""

    model: Model
    recipe: Recipe
    store: Store
    champion: str  # its reference
    champion_codebook: str | None  # key of the codebook whose labels it predicts
    champion_dir: Path
    confidence: float
    champion_keys: frozenset[str] = frozenset()  # that the champion may have in this store

    def measure(self, metric: str) -> Gain | str:
        """The gain of the model over the champion; a text that says why there is none."""
        if metric == PROBE_METRIC or metric in ABX_METRICS:
            return self._measure_probe(metric)
        if is_of_task(metric):
            return measure_task(metric, self.model, self.champion_keys, self.recipe, self.store, self.confidence)
        return self._explain_unmeasured(metric) or self._measure_loss(metric)

    def _explain_unmeasured(self, metric: str) -> str:
        """Why a validation metric is not measured anew; empty if it is."""
        if metric in WHOLE:
            return f"{metric} is of all held-out speech together, so it has no interval; probe/pnmi has one"
        if metric not in _QUOTIENTS:
            return f"{metric} is no figure of a model itself"
        return explain_ungated(metric, self.model.train.objective)

    @property
    def _folders(self) -> tuple[Path, Path]:
        """Where both models are, the candidate first."""
        return self.store.path(self.model), self.champion_dir

    def _measure_loss(self, metric: str) -> Gain | str:
        from wavlm.train.held_out import choose_held_out, measure_losses

        if not self._has_same_labels():
            return f"{metric} is no comparison: {self.champion} predicts labels of another codebook"
        data = [
            LabelledShards(shards=self.store.path(item.shards), labels=self.store.path(item))
            for item in self.model.labels
        ]
        chosen = choose_held_out(data, self.recipe.gate.max_utterances)
        if len(chosen) < FEWEST_UTTERANCES:
            return f"{metric} is measured on {FEWEST_UTTERANCES} held-out utterances or more, there are {len(chosen)}"
        ours, theirs = (
            np.array([_QUOTIENTS[metric](sums) for sums in measure_losses(folder, chosen, self.model.train)])
            for folder in self._folders
        )
        speakers = [item.speaker for item in chosen]
        return self._compare(metric, ours, theirs, speakers, lambda sums: sums[:, 0] / np.maximum(sums[:, 1], 1.0))

    def _has_same_labels(self) -> bool:
        """Whether both predict labels of the same centroids. Keys decide where the champion does not name its own."""
        codebook, header = self.model.codebook, read_header(self.champion_dir / WEIGHTS_FILE)
        if codebook is None or not header.codebook:
            return codebook is not None and codebook.key == self.champion_codebook
        return header.codebook == codebook_of(self.store.path(self.model.labels[0]))

    def _measure_probe(self, metric: str) -> Gain | str:
        spec = self.recipe.probe
        if spec is None:
            return f"{metric} is measured by the recipe's `probe`, and there is none"
        from wavlm.evaluation.scores import choose_utterances

        chosen = choose_utterances(spec, folders_with_phones(self.model.shards, self.store))
        if chosen.judged_on != "valid" or len(chosen.judged) < FEWEST_UTTERANCES or not chosen.fitted:
            found = len(chosen.judged) if chosen.judged_on == "valid" else 0
            return (
                f"{metric} is measured on {FEWEST_UTTERANCES} valid utterances with timed phones or more, there "
                f"are {found}"
            )
        if metric in ABX_METRICS:
            from wavlm.evaluation.paired_abx import find_abx_gain

            return find_abx_gain(spec, *self._folders, chosen, ABX_METRICS[metric], self.confidence)
        return self._compare_pnmi(spec, chosen)

    def _compare_pnmi(self, spec: ScoresSpec, chosen: Chosen) -> Gain | str:
        from wavlm.evaluation.best_layer import count_best_layer, pnmi_of

        ours, theirs = (count_best_layer(spec, folder, chosen) for folder in self._folders)
        speakers = [item.speaker for item in chosen.judged]
        return self._compare(
            PROBE_METRIC, ours.counts, theirs.counts, speakers, lambda counts: pnmi_of(counts, ours.num_phones)
        )

    def _compare(
        self, metric: str, ours: Floats, theirs: Floats, speakers: Sequence[str], figure: Callable[[Floats], Floats]
    ) -> Gain | str:
        from wavlm.evaluation.paired import find_gain

        for whose, numbers in (("the candidate", ours), (self.champion, theirs)):
            if not np.isfinite(numbers).all():
                return f"{metric} of {whose} is no finite number"
        return find_gain(
            metric,
            ours,
            theirs,
            speakers,
            figure,
            is_lower_better=metric in LOWER_IS_BETTER,
            confidence=self.confidence,
        )
