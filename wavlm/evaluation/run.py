"""Run one evaluation of one model: features, search, one look at the test part, layers; write what came out.

What was fitted lies in `fits/` meanwhile, so that a killed evaluation goes on where it was. It goes at the end.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue
from torch import nn

from wavlm.errors import BadDataError
from wavlm.evaluation.describe import Tested, describe_results
from wavlm.evaluation.examples import Take
from wavlm.evaluation.features.cache import Features, plan_features, prepare_features
from wavlm.evaluation.features.states import Subject
from wavlm.evaluation.fit.head import Sets, predict
from wavlm.evaluation.fit.published import score_best_on_test
from wavlm.evaluation.fit.search import Searched, search
from wavlm.evaluation.fit.states import compare_states
from wavlm.evaluation.fit.steps import FitSteps
from wavlm.evaluation.heard import count_heard
from wavlm.evaluation.held import HeldExamples, change_examples, join_examples, order_by_key
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.evaluation.outputs import write_files
from wavlm.evaluation.results.facts import EvaluationFacts, Figure, results_path
from wavlm.evaluation.splits import Split, split_examples
from wavlm.evaluation.tasks.choose import make_task
from wavlm.evaluation.tasks.task import (
    Calibrates,
    ChecksParts,
    ChecksTested,
    DecodesTest,
    KeepsHeads,
    Mixes,
    Scorer,
    Settles,
    Size,
    Task,
    Trainee,
    Untrained,
)
from wavlm.execution.progress import Progress, no_progress
from wavlm.features.extract import ExtractionPlan, one_thread
from wavlm.features.mfcc import Floats
from wavlm.specs.evaluation import EvaluationSpec
from wavlm.storage.files import write_json

FITS = "fits"
COMPUTING = 0.5  # the share of the progress that features have; the rest is that of fits


@dataclass(frozen=True)
class Inputs:
    """What an evaluation reads."""

    corpora: tuple[LabelledCorpus, ...]
    noise: tuple[LabelledCorpus, ...]
    shards: Mapping[str, Path]  # by key, in the order of the corpora's numbers
    subject: Subject
    subject_name: str
    notes: tuple[str, ...] = ()  # what a reader of figures has to know of the model
    heard: frozenset[Take] = frozenset()  # recordings that the model was trained on, as far as that is known


def run_evaluation(
    spec: EvaluationSpec,
    inputs: Inputs,
    cache: Path,
    out: Path,
    plan: ExtractionPlan | None = None,
    progress: Progress = no_progress,
) -> EvaluationFacts:
    """Fill `out`; return the facts. Raises BadDataError for targets, splits or features that cannot be used.

    plan: how features are computed; None: by this process, on a GPU if there is one.
    """
    task = make_task(spec)
    splits = _split(spec, task, inputs)
    # What can be known is known before the features are computed.
    splits = tuple(task.mix(it, inputs.noise) if isinstance(task, Mixes) else it for it in splits)
    trainees = [task.begin(it.train, join_examples(it.dev, it.test)) for it in splits]
    subject = inputs.subject
    size = Size(subject.num_states, subject.num_channels, subject.hop_samples)
    for split, trainee in zip(splits, trainees, strict=True):
        if isinstance(trainee, ChecksParts):
            trainee.check_parts(split.dev, split.test)
        trainee.check(size)
    if isinstance(trainees[0], ChecksTested):
        trainees[0].check_tested(item for split in splits for item in split.test)
    computing: Progress = lambda done, total: progress(COMPUTING * done / max(1, total), 1.0)  # noqa: E731
    features = _prepare(task, splits, inputs, cache, plan or plan_features(inputs.subject), computing)
    fitting: Callable[[float], None] = lambda share: progress(COMPUTING + (1 - COMPUTING) * share, 1.0)  # noqa: E731
    step = FitSteps(f"{spec.name} of {inputs.subject_name}", len(splits) * _count_fits(spec, size), fitting)
    with one_thread():  # results do not depend on the number of cores; small heads are slower on more of them
        tested = [
            _compare_fold(spec, split, trainee, subject, features, out / FITS / str(number), step)
            if isinstance(trainee, Untrained)
            else _run_fold(spec, split, trainee, subject, features, out / FITS / str(number), step)
            for number, (split, trainee) in enumerate(zip(splits, trainees, strict=True))
        ]
    facts = describe_results(spec, inputs.subject_name, tested)
    if notes := tuple(filter(None, [*inputs.notes, _say_heard(splits, inputs.heard)])):
        facts = facts.model_copy(update={"notes": (*notes, *facts.notes)})
    write_files(out, tested, facts.layers)
    write_json(results_path(out), facts.model_dump(mode="json"))
    shutil.rmtree(out / FITS, ignore_errors=True)  # last: whoever is killed before finds them
    return facts


def _count_fits(spec: EvaluationSpec, size: Size) -> int:
    """The fits of a fold: of the search, and of single layers; the states that are compared if nothing is fitted."""
    if spec.fit is None:
        return size.num_states
    alone = size.num_states if spec.single_layers and size.num_states > 1 else 0
    return len(spec.fit.seeds) * (len(spec.fit.learning_rates) + alone)


def _split(spec: EvaluationSpec, task: Task, inputs: Inputs) -> tuple[Split, ...]:
    """The splits, with the training examples as they are trained on."""
    examples = task.collect(inputs.corpora, inputs.noise)
    if isinstance(examples, HeldExamples):  # which are all that is needed of them
        for corpus in inputs.corpora:
            corpus.forget()
    found = split_examples(
        examples, spec.split, spec.max_utterances, task.class_of, is_trained=spec.head.type != "none"
    )
    splits = []
    for it in found:
        kept = change_examples(it.train, task.for_training)
        if it.train and not kept:
            raise BadDataError(
                "SPLIT_EMPTY",
                f"all {len(it.train)} examples of the train part are too short to be trained on; in the evaluation "
                f"{spec.name}; lower the shortest length in its task",
            )
        splits.append(replace(it, train=kept, num_short=len(it.train) - len(kept)))
    return tuple(splits)


def _say_heard(splits: Sequence[Split], heard: frozenset[Take]) -> str:
    """What a reader has to know of a test part that the model was trained on; empty if it was not."""
    known = count_heard((item for split in splits for item in split.test), heard) if heard else 0
    if not known:
        return ""
    count = sum(len(split.test) for split in splits)
    return (
        f"The model was trained on {known} of the {count} test recordings, without their targets, so its figures are "
        "no figures on unheard speech."
    )


def _prepare(
    task: Task, splits: Sequence[Split], inputs: Inputs, cache: Path, plan: ExtractionPlan, progress: Progress
) -> Features:
    sets = [part for split in splits for part in (split.train, split.dev, split.test)]
    others = [other for part in sets if not isinstance(part, HeldExamples) for it in part for other in it.compared_with]
    examples = order_by_key([others, *sets] if others else sets)
    if others:
        examples = [replace(item, compared_with=()) if item.compared_with else item for item in examples]
    subject = inputs.subject
    return prepare_features(examples, subject, inputs.shards, cache, plan, progress, is_pooled=task.is_pooled)


def _compare_fold(  # noqa: PLR0913, PLR0917 - what, on what, where
    spec: EvaluationSpec,
    split: Split,
    task: Untrained,
    subject: Subject,
    features: Features,
    folder: Path,
    step: FitSteps,
) -> Tested:
    found = compare_states(task, split, features, subject.num_states, folder, subject.device, step=step)
    if found.state is None:
        raise BadDataError(
            "METRIC_UNDEFINED",
            f"no state of the model has a score on the dev part that is a number; in the evaluation {spec.name}; check "
            "its data",
        )
    norms = features.mean_norms(it.key for it in split.dev)
    nothing = Searched(None, (), (), is_at_edge=False)
    return Tested(split, nothing, task, (found.predictions,), norms, found.alone, state=found.state)


def _run_fold(  # noqa: PLR0913, PLR0917 - what, on what, where
    spec: EvaluationSpec,
    split: Split,
    trainee: Trainee,
    subject: Subject,
    features: Features,
    folder: Path,
    step: FitSteps,
) -> Tested:
    assert spec.fit is not None  # noqa: S101 - the spec was checked
    size = Size(subject.num_states, subject.num_channels, subject.hop_samples)
    sets = Sets(split.train, split.dev, features, size, step.report)
    searched = search(trainee, sets, spec.fit, folder, split.name, step, subject.device)
    if searched.learning_rate is None:
        rates = ", ".join(f"{item.learning_rate:g}" for item in searched.attempts)
        raise BadDataError(
            "FIT_DIVERGED",
            f"no learning rate of {rates} gave a score that is a number for each seed; in the evaluation {spec.name}; "
            "add smaller learning rates",
        )
    tested = trainee.for_test() if isinstance(trainee, DecodesTest) else trainee
    predictions = tuple(_predict(tested, head, split, features, subject.device) for head in searched.heads)
    alone: tuple[float | None, ...] = ()
    if spec.single_layers and size.num_states > 1:
        alone = _score_layers_alone(spec, trainee, sets, searched.learning_rate, folder, step, subject.device)
    also: tuple[Figure, ...] = ()
    if isinstance(trainee, KeepsHeads) and trainee.keeps_heads:
        best = score_best_on_test(
            trainee, split.test, features, size, spec.fit, searched.learning_rate, folder, subject.device
        )
        also = (best,)
    norms = features.mean_norms(it.key for it in split.dev)
    scorers = tuple(_calibrate(trainee, head, split, features, subject.device) for head in searched.heads)
    return Tested(split, searched, trainee, predictions, norms, alone, also=also, scorers=scorers)


def _predict(trainee: Trainee, head: nn.Module, split: Split, features: Features, device: str) -> list[JsonValue]:
    """The predictions of a chosen head on the test part."""
    found = predict(trainee, head, split.test, features, device)
    if isinstance(trainee, Settles):
        return trainee.settle(split.dev, predict(trainee, head, split.dev, features, device), found)
    return found


def _calibrate(trainee: Trainee, head: nn.Module, split: Split, features: Features, device: str) -> Scorer:
    """What scores the predictions of a chosen head: the trainee, or what it learns from other predictions of it."""
    wanted = trainee.calibrate_on(split.train, split.dev) if isinstance(trainee, Calibrates) else ()
    if not wanted:
        return trainee
    assert isinstance(trainee, Calibrates)  # noqa: S101 - it named examples
    return trainee.calibrate(wanted, predict(trainee, head, wanted, features, device))


class SingleState(Features):
    """The features of one state alone."""

    def __init__(self, features: Features, state: int) -> None:
        self.__dict__.update(features.__dict__)
        self._all, self._state = features, state

    def read(self, key: str) -> Floats:
        return self._all.read(key)[self._state : self._state + 1]


def _score_layers_alone(  # noqa: PLR0913, PLR0917 - what, on what, how, where
    spec: EvaluationSpec, trainee: Trainee, sets: Sets, learning_rate: float, folder: Path, step: FitSteps, device: str
) -> tuple[float | None, ...]:
    """The score on the dev part of a head that has one state alone, of each state, with the best learning rate."""
    assert spec.fit is not None  # noqa: S101 - the spec was checked
    fit = spec.fit.model_copy(update={"learning_rates": (learning_rate,)})
    size = Size(1, sets.size.num_channels, sets.size.hop_samples)
    found = []
    for state in range(sets.size.num_states):
        one = Sets(sets.train, sets.dev, SingleState(sets.features, state), size, step.report)
        found.append(search(trainee, one, fit, folder / f"layer{state}", "", step, device).dev)
    return tuple(found)
