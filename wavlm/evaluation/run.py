"""Run one evaluation of one model: features, search, one look at the test part, layers; write what came out.

What was fitted lies in `fits/` meanwhile, so that a killed evaluation goes on where it was. It goes at the end.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from wavlm.errors import BadDataError
from wavlm.evaluation.describe import Tested, describe_results
from wavlm.evaluation.features.cache import Features, prepare_features
from wavlm.evaluation.features.states import Subject
from wavlm.evaluation.fit.head import Sets, predict
from wavlm.evaluation.fit.search import search
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.evaluation.outputs import write_files
from wavlm.evaluation.results.facts import EvaluationFacts, results_path
from wavlm.evaluation.splits import Split, split_examples
from wavlm.evaluation.tasks.choose import make_task
from wavlm.evaluation.tasks.task import Mixes, Size, Task, Trainee
from wavlm.execution.progress import Progress, no_progress
from wavlm.features.extract import one_thread
from wavlm.features.mfcc import Floats
from wavlm.specs.evaluation import EvaluationSpec
from wavlm.storage.files import write_json

FITS = "fits"


@dataclass(frozen=True)
class Inputs:
    """What an evaluation reads."""

    corpora: tuple[LabelledCorpus, ...]
    noise: tuple[LabelledCorpus, ...]
    shards: Mapping[str, Path]  # by key, in the order of the corpora's numbers
    subject: Subject
    subject_name: str


def run_evaluation(
    spec: EvaluationSpec, inputs: Inputs, cache: Path, out: Path, workers: int = 1, progress: Progress = no_progress
) -> EvaluationFacts:
    """Fill `out`; return the facts. Raises BadDataError for targets, splits or features that cannot be used."""
    task = make_task(spec)
    splits = split_examples(task.collect(inputs.corpora, inputs.noise), spec.split, spec.max_utterances, task.class_of)
    splits = tuple(Split(it.name, tuple(task.for_training(one) for one in it.train), it.dev, it.test) for it in splits)
    # What can be known is known before the features are computed.
    splits = tuple(task.mix(it, inputs.noise) if isinstance(task, Mixes) else it for it in splits)
    trainees = [task.begin(it.train, (*it.dev, *it.test)) for it in splits]
    subject = inputs.subject
    size = Size(subject.num_states, subject.num_channels, subject.hop_samples)
    for trainee in trainees:
        trainee.check(size)
    features = _prepare(task, splits, inputs, cache, workers, progress)
    with one_thread():  # results do not depend on the number of cores; small heads are slower on more of them
        tested = [
            _run_fold(spec, number, split, trainee, subject, features, out)
            for number, (split, trainee) in enumerate(zip(splits, trainees, strict=True))
        ]
    facts = describe_results(spec, inputs.subject_name, tested)
    write_files(out, tested, facts.layers)
    shutil.rmtree(out / FITS, ignore_errors=True)
    write_json(results_path(out), facts.model_dump(mode="json"))
    return facts


def _prepare(
    task: Task, splits: Sequence[Split], inputs: Inputs, cache: Path, workers: int, progress: Progress
) -> Features:
    unique = {item.key: item for split in splits for part in (split.train, split.dev, split.test) for item in part}
    examples = [unique[key] for key in sorted(unique)]
    prepare = _take_gpu if inputs.subject.device == "cuda" else None
    return prepare_features(
        examples,
        inputs.subject,
        inputs.shards,
        cache,
        workers,
        progress,
        is_pooled=task.is_pooled,
        prepare=prepare,
    )


def _take_gpu(number: int) -> None:
    torch.cuda.set_device(number % torch.cuda.device_count())


def _run_fold(  # noqa: PLR0913, PLR0917 - what, on what, where
    spec: EvaluationSpec,
    number: int,
    split: Split,
    trainee: Trainee,
    subject: Subject,
    features: Features,
    out: Path,
) -> Tested:
    assert spec.fit is not None  # noqa: S101 - the spec was checked
    size = Size(subject.num_states, subject.num_channels, subject.hop_samples)
    sets, folder = Sets(split.train, split.dev, features, size), out / FITS / str(number)
    searched = search(trainee, sets, spec.fit, folder, split.name, lambda: None, subject.device)
    if searched.learning_rate is None:
        rates = ", ".join(f"{item.learning_rate:g}" for item in searched.attempts)
        raise BadDataError(
            "FIT_DIVERGED",
            f"no learning rate of {rates} gave a score that is a number for each seed; in the evaluation {spec.name}; "
            "add smaller learning rates",
        )
    predictions = tuple(predict(trainee, head, split.test, features, subject.device) for head in searched.heads)
    alone: tuple[float | None, ...] = ()
    if spec.single_layers and size.num_states > 1:
        alone = _score_layers_alone(spec, trainee, sets, searched.learning_rate, folder, subject.device)
    return Tested(split, searched, trainee, predictions, features.mean_norms(it.key for it in split.dev), alone)


class SingleState(Features):
    """The features of one state alone."""

    def __init__(self, features: Features, state: int) -> None:
        self.__dict__.update(features.__dict__)
        self._all, self._state = features, state

    def read(self, key: str) -> Floats:
        return self._all.read(key)[self._state : self._state + 1]


def _score_layers_alone(
    spec: EvaluationSpec, trainee: Trainee, sets: Sets, learning_rate: float, folder: Path, device: str
) -> tuple[float | None, ...]:
    """The score on the dev part of a head that has one state alone, of each state, with the best learning rate."""
    assert spec.fit is not None  # noqa: S101 - the spec was checked
    fit = spec.fit.model_copy(update={"learning_rates": (learning_rate,)})
    size = Size(1, sets.size.num_channels, sets.size.hop_samples)
    found = []
    for state in range(sets.size.num_states):
        one = Sets(sets.train, sets.dev, SingleState(sets.features, state), size)
        found.append(search(trainee, one, fit, folder / f"layer{state}", "", lambda: None, device).dev)
    return tuple(found)
