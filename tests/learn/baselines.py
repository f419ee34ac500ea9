"""Trivial answers: what a system has to beat to be worth its training. They are scored as the systems are.

| name | what it answers |
|---|---|
| one speaker | one speaker, from the first sample to the last |
| mean spectrum | the mean of the frames of filter banks is the embedding, scored with the same cohort |
| commonest letters | for each recording the same letters: those of the train part that are best there |
| commonest class | for each recording the class that is commonest in the train part |
| the mixture | each voice is the mixture as it is |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from pydantic import JsonValue

from wavlm.evaluation.examples import Example
from wavlm.evaluation.metrics.words import count_edits
from wavlm.evaluation.tasks.listening import rate_sources
from wavlm.evaluation.tasks.referenced import Referenced
from wavlm.evaluation.tasks.task import Calibrates, Scorer, Trainee
from wavlm.evaluation.tasks.turns import TurnScorer, keep_probabilities
from wavlm.features.fbank import fbank
from wavlm.finetune.data import TrainingData

HOP_SAMPLES = 1600
MOST_LETTERS = 40  # of a constant answer that is tried, as a multiple of a word


def one_speaker(data: TrainingData, trainee: Trainee) -> list[JsonValue]:
    """One speaker always."""
    assert isinstance(trainee, TurnScorer)

    def always(part: Sequence[Example]) -> list[JsonValue]:
        counts = [-(-item.num_samples // HOP_SAMPLES) for item in part]
        return [keep_probabilities(np.ones((count, 1)), HOP_SAMPLES) for count in counts]

    return trainee.settle(data.split.dev, always(data.split.dev), always(data.split.test))


def mean_spectrum(data: TrainingData, trainee: Trainee) -> list[JsonValue]:
    """The mean of 80 log mel energies and their differences, over the frames of each recording."""
    return [mean_of(data, item) for item in data.split.test]


def mean_of(data: TrainingData, item: Example) -> JsonValue:
    """That of one recording."""
    found: list[JsonValue] = fbank(data.load_plain([item]).waveforms[0].numpy()).mean(axis=0).tolist()
    return found


def commonest_letters(data: TrainingData, trainee: Trainee) -> list[JsonValue]:
    """The commonest words of the train part, written so often that its letter error rate is least there."""
    references = [[str(letter) for letter in _listed(item.target)] for item in data.split.train]
    best = best_constant(references)
    return [list[JsonValue](best) for _ in data.split.test]


def best_constant(references: Sequence[Sequence[str]], most: int = MOST_LETTERS) -> list[str]:
    """Of the commonest words and letters, each written 1, 2, ... times, what has the least letter error rate."""
    words = Counter(word for item in references for word in "".join(item).split())
    letters = Counter(letter for item in references for letter in item)
    chosen = [*(word for word, _ in words.most_common(3)), *(letter for letter, _ in letters.most_common(2))]
    tried = [list(" ".join([unit] * times)) for unit in chosen for times in (1, 2, 4, 8, 12, 16, 20, 24, most)]
    return min(tried, key=lambda letters: count_edits(references, [letters] * len(references)).rate)


def commonest_class(data: TrainingData, trainee: Trainee) -> list[JsonValue]:
    """One class for all."""
    names = Counter(str(_fields(item.target)["class"]) for item in data.split.train)
    answer = min(names, key=lambda name: (-names[name], name))
    return [{"class": answer} for _ in data.split.test]


def the_mixture(data: TrainingData, trainee: Trainee) -> list[JsonValue]:
    """Nothing is separated: 0 dB of improvement, by the same scorer."""
    readers = trainee.readers  # type: ignore[attr-defined]
    found: list[JsonValue] = []
    for item in data.split.test:
        assert isinstance(item, Referenced)
        mixture = item.audio.load(readers)
        references = np.stack([it.load(readers) for it in item.references])
        found.append(rate_sources(references, np.stack([mixture, mixture]), mixture))
    return found


BASELINES: dict[str, Callable[[TrainingData, Trainee], list[JsonValue]]] = {
    "one speaker": one_speaker,
    "mean spectrum": mean_spectrum,
    "commonest letters": commonest_letters,
    "commonest class": commonest_class,
    "the mixture": the_mixture,
}


def answer_trivially(name: str, data: TrainingData) -> tuple[list[JsonValue], Scorer]:
    """A trivial answer for each recording of the test part, and what scores it."""
    trainee = data.trainee(0)
    scorer: Scorer = trainee
    if isinstance(trainee, Calibrates) and (wanted := trainee.calibrate_on(data.split.train, data.split.dev)):
        scorer = trainee.calibrate(wanted, [mean_of(data, item) for item in wanted])  # verification alone does so
    return BASELINES[name](data, trainee), scorer


def _listed(value: JsonValue) -> list[JsonValue]:
    assert isinstance(value, list)
    return value


def _fields(value: JsonValue) -> dict[str, JsonValue]:
    assert isinstance(value, dict)
    return value
