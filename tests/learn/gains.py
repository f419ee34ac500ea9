"""How much better one system is than another one on the same recordings: the gain, with the paired bootstrap.

Both are drawn alike, so what makes a recording hard for both does not count. Above 0 the first system is better,
whether low or high figures are good. Trials of verification are scored with the cohort of each system.

Legend: U recordings, D numbers of each, N trials.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from pydantic import JsonValue

from tests.learn.rows import Bounded
from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example, speaker_of
from wavlm.evaluation.metrics.checks import Floats
from wavlm.evaluation.metrics.diarization import diarization_errors
from wavlm.evaluation.metrics.intervals import CONFIDENCE, interval_of_trials
from wavlm.evaluation.metrics.verification import rank_trials
from wavlm.evaluation.paired import Speaker, find_gain
from wavlm.evaluation.paired_sums import COUNTS, count_sums, quotient
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.tasks.back_end import embeddings_of
from wavlm.evaluation.tasks.back_end_files import read_back_end
from wavlm.evaluation.tasks.task import Scorer
from wavlm.evaluation.tasks.trial_figures import ScoredTrials, sides_of
from wavlm.evaluation.tasks.turns import scored_of, turns_of
from wavlm.evaluation.tasks.verification import CalibratedVerifier, Verifier
from wavlm.finetune.data import TrainingData
from wavlm.finetune.facts import PREDICTIONS_FILE, SCORING_FILE
from wavlm.specs.pairs import SpeakerDiarization

CLOSE = 1e-6


@dataclass(frozen=True)
class Answers:
    """What a system said of each recording of the test part, in the order of the part, and what scores it."""

    predictions: Sequence[JsonValue]
    scorer: Scorer
    reported: Figure


def answers_of(folder: Path, data: TrainingData, reported: Figure) -> Answers:
    """Those of a finished training, from what it has written."""
    rows = {row["key"]: row["prediction"] for row in pq.read_table(folder / PREDICTIONS_FILE).to_pylist()}
    scorer: Scorer = data.trainee(0)
    if isinstance(scorer, Verifier) and (folder / SCORING_FILE).exists():
        scorer = CalibratedVerifier(scorer, read_back_end(folder / SCORING_FILE))
    return Answers([json.loads(rows[item.key]) for item in data.split.test], scorer, reported)


def gain_over(ours: Answers, theirs: Answers, data: TrainingData) -> Bounded:
    """The gain of a system over another one. Raises BadDataError if answers do not give again what was reported."""
    if ours.reported.name in COUNTS:
        return _gain_of_sums(ours, theirs, data)
    found = [_trials_of(it, data.split.test) for it in (ours, theirs)]
    for one, answers in zip(found, (ours, theirs), strict=True):
        _require(rank_trials(one.scores, one.pairs.is_target).curve().eer(), answers.reported)
    return gain_of_trials(data.split.test, *found)


def gain_of_sums(ours: Floats, theirs: Floats, speakers: Sequence[Speaker], *, is_lower_better: bool) -> Bounded:
    """That of quotients of sums over recordings, (U, 2) of both."""
    found = find_gain("", ours, theirs, speakers, quotient, is_lower_better=is_lower_better, confidence=CONFIDENCE)
    return Bounded(value=found.gain, low=found.low, high=found.high)


def gain_of_trials(examples: Sequence[Example], ours: ScoredTrials, theirs: ScoredTrials) -> Bounded:
    """That of the equal error rates of the same trials."""
    ranked = [rank_trials(it.scores, it.pairs.is_target) for it in (ours, theirs)]

    def gain_of(weights: Floats) -> float:
        return ranked[1].curve(weights).eer() - ranked[0].curve(weights).eer()

    found = interval_of_trials(sides_of(examples, ours.pairs), gain_of)
    return Bounded(value=found.value, low=found.low, high=found.high)


def _gain_of_sums(ours: Answers, theirs: Answers, data: TrainingData) -> Bounded:
    first, second = _sums_of(ours, data), _sums_of(theirs, data)
    for sums, answers in ((first, ours), (second, theirs)):
        _require(float(quotient(sums.sum(axis=0, keepdims=True))[0]), answers.reported)
    speakers = [speaker_of(item) for item in data.split.test]
    return gain_of_sums(first, second, speakers, is_lower_better=ours.reported.is_lower_better)


def _sums_of(answers: Answers, data: TrainingData) -> Floats:
    """Numbers of each recording that add up, (U, 2). Turns are scored up to the end of the recording."""
    task, answered = data.spec.task, list(zip(data.split.test, answers.predictions, strict=True))
    if isinstance(task, SpeakerDiarization):
        collar = task.collar_seconds
        return np.stack(
            [
                diarization_errors(
                    turns_of(item), turns_of(replace(item, target=found)), scored_of(item), collar_each_side_s=collar
                ).sums
                for item, found in answered
            ]
        )
    return count_sums(answers.reported.name, [(item.target, found) for item, found in answered], task)[0]


def _trials_of(answers: Answers, test: Sequence[Example]) -> ScoredTrials:
    scorer = answers.scorer
    assert isinstance(scorer, CalibratedVerifier)
    scored = scorer.back_end.score(test, embeddings_of(answers.predictions), scorer.verifier.pair(test))
    return next(it for it in scored if f"eer{it.name}" == answers.reported.name)


def _require(found: float, reported: Figure) -> None:
    if not np.isclose(found, reported.value, rtol=0, atol=CLOSE):
        raise BadDataError(
            "METRIC_MISFIT",
            f"the predictions give {reported.name} {found:.6g}, expected {reported.value:.6g} as reported; in "
            "`predictions.parquet` of a training; delete the work folder",
        )
