"""From embeddings to scores of trials: cosines, a cohort (AS-norm), and a calibration (QMF).

Legend: E recordings, H width of an embedding, N trials.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.examples import Example
from wavlm.evaluation.metrics.checks import Bools, Floats
from wavlm.evaluation.tasks.calibration import Calibration, fit_calibration, measure_quality
from wavlm.evaluation.tasks.cohort import (
    Cohort,
    VoicePrints,
    cosines_of,
    make_cohort,
    normalise_lengths,
    normalise_scores,
    require_voices,
)
from wavlm.evaluation.tasks.speeds import is_sped
from wavlm.evaluation.tasks.trial_figures import ScoredTrials
from wavlm.evaluation.tasks.trials import Pairs, pair_by_rule
from wavlm.rng import seed_for
from wavlm.specs.speakers import TrialScoring


@dataclass(frozen=True)
class BackEnd:
    """A cohort, and a calibration of scores that were normalised by it."""

    spec: TrialScoring
    cohort: Cohort
    calibration: Calibration | None
    num_trials: int = 0  # that the calibration was fitted to

    @staticmethod
    def learn(spec: TrialScoring, examples: Sequence[Example], embeddings: Floats, is_training: Bools) -> BackEnd:
        """Learn from recordings (E,), of which some are of training voices. The dev part's voices are the others."""
        speakers = [item.speaker for item in examples]
        voices = [name for name, known in zip(speakers, is_training, strict=True) if known]
        cohort = make_cohort(embeddings[is_training], voices, spec.cohort)
        if spec.calibration == "none":
            return BackEnd(spec, cohort, None)
        chosen = np.flatnonzero(is_training if spec.calibration == "train" else ~is_training)
        some = [examples[number] for number in chosen.tolist()]
        pairs = _pair_to_calibrate(some, spec)
        prints = cohort.describe(embeddings[chosen], [it.speaker for it in some])
        scores = normalise_scores(cosines_of(prints.vectors, pairs), prints, pairs)
        measures = measure_quality(scores, prints, _seconds(some, spec), pairs)
        return BackEnd(spec, cohort, fit_calibration(measures, pairs.is_target), len(pairs))

    def score(self, examples: Sequence[Example], embeddings: Floats, lists: Mapping[str, Pairs]) -> list[ScoredTrials]:
        """Each list by each method: first that of cosines, of all lists."""
        prints = self.cohort.describe(embeddings)
        seconds = _seconds(examples, self.spec)
        methods = ["", "_as_norm", *(["_qmf"] if self.calibration else [])]
        found = {name: self.score_pairs(prints, seconds, pairs) for name, pairs in lists.items()}
        return [
            ScoredTrials(method + _behind(name, lists), self._note(method), name, pairs, found[name][method])
            for method in methods
            for name, pairs in lists.items()
        ]

    def score_pairs(self, prints: VoicePrints, seconds: Floats, pairs: Pairs) -> dict[str, Floats]:
        """The scores of trials (N,), by method."""
        cosines = cosines_of(prints.vectors, pairs)
        normed = normalise_scores(cosines, prints, pairs)
        found = {"": cosines, "_as_norm": normed}
        if self.calibration:
            found["_qmf"] = self.calibration.apply(measure_quality(normed, prints, seconds, pairs))
        return found

    def _note(self, method: str) -> str:
        voices = len(self.cohort.speakers)
        normed = f"AS-norm by the nearest {min(self.spec.cohort, voices)} of {voices} training voices"
        return {
            "": "mean of the training embeddings subtracted",
            "_as_norm": normed,
            "_qmf": f"{normed}, calibrated on {self.num_trials:,} trials of the {self.spec.calibration} part",
        }[method]


def score_cosines(embeddings: Floats, lists: Mapping[str, Pairs]) -> list[ScoredTrials]:
    """Each list by the cosines of embeddings (E, H) as they are."""
    vectors = normalise_lengths(embeddings)
    return [
        ScoredTrials(_behind(name, lists), "", name, pairs, cosines_of(vectors, pairs)) for name, pairs in lists.items()
    ]


def examples_to_learn_from(spec: TrialScoring, train: Sequence[Example], dev: Sequence[Example]) -> list[Example]:
    """Recordings of training voices, at their own speed, and of the dev part's others for its calibration."""
    by_speaker = defaultdict[str, list[Example]](list)
    for item in train:
        if not is_sped(item):
            by_speaker[item.speaker].append(item)
    found = []
    for items in by_speaker.values():
        items.sort(key=lambda item: (seed_for(0, "cohort", item.key), item.key))
        found += items[: spec.per_speaker]
    # A dev recording of a training voice is no recording of another voice, and none that the head was trained on.
    return found + [item for item in dev if spec.calibration == "dev" and item.speaker not in by_speaker]


def check_learning(spec: TrialScoring, train: Sequence[Example], dev: Sequence[Example]) -> None:
    """Raise before any work what `BackEnd.learn` would raise: CLASS_SINGLE, METRIC_UNDEFINED."""
    voices = {item.speaker for item in train if not is_sped(item)}
    require_voices(len(voices))
    if spec.calibration != "none":
        chosen = examples_to_learn_from(spec, train, dev)
        _pair_to_calibrate([it for it in chosen if (it.speaker in voices) is (spec.calibration == "train")], spec)


def embeddings_of(predictions: Sequence[JsonValue]) -> Floats:
    """The embeddings (E, H) that a head predicted."""
    return np.array(predictions, dtype=np.float64)


def _behind(name: str, lists: Mapping[str, Pairs]) -> str:
    """What the figures of a list are named by: nothing for the first one."""
    return "" if name == next(iter(lists)) else f"_{name}"


def _seconds(examples: Sequence[Example], spec: TrialScoring) -> Floats:
    return np.minimum([item.seconds for item in examples], spec.longest_seconds)


def _pair_to_calibrate(some: Sequence[Example], spec: TrialScoring) -> Pairs:
    pairs = pair_by_rule([it.key for it in some], [it.speaker for it in some], spec.calibration_trials)
    _require_both(pairs, spec)
    return pairs


def _require_both(pairs: Pairs, spec: TrialScoring) -> None:
    if not (0 < pairs.is_target.sum() < len(pairs)):
        raise BadDataError(
            Code.METRIC_UNDEFINED,
            f"{int(pairs.is_target.sum())} of {len(pairs)} trials of the {spec.calibration} part are of one speaker, "
            "expected some that are and some that are not to calibrate by; in the evaluation's split; use another "
            "split, or calibration: none",
        )
