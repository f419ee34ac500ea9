"""Tasks with classes per recording: keyword spotting, speaker identification, intents and emotions.

A target is one class per group: one group for KS, SID and ER, one per slot of an intent (action, object, location).

Legend: B utterances, C classes of a group.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn import functional

from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example, Take, cut_audio
from wavlm.evaluation.heads.pooled_linear import PooledLinear
from wavlm.evaluation.held import hold_examples
from wavlm.evaluation.labelled import LabelledCorpus, Row, require
from wavlm.evaluation.metrics.classification import count_confusions, require_classes
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.results.figures import figure_of, share_of
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.heads import PooledLinearHead
from wavlm.specs.tasks import EmotionRecognition, IntentClassification, KeywordSpotting, SpeakerIdentification

ClassifierSpec = KeywordSpotting | SpeakerIdentification | IntentClassification | EmotionRecognition
SHOWN = 5  # names in a message


@dataclass(frozen=True)
class Classification:
    """One class per group and recording."""

    spec: ClassifierSpec
    head: PooledLinearHead

    @property
    def is_pooled(self) -> bool:
        return True

    def collect(self, corpora: Sequence[LabelledCorpus], noise: Sequence[LabelledCorpus] = ()) -> Sequence[Example]:  # noqa: ARG002
        examples = hold_examples(
            Example(
                key=f"{corpus.name}/{row.key}",
                speaker=row.speaker,
                part=row.part,
                num_samples=row.num_samples,
                audio=row.take,
                target=self._classes_of(row, corpus.name),
                content=row.content,
            )
            for corpus in corpora
            for row in corpus.rows
        )
        _check_groups(examples)
        return examples

    def class_of(self, example: Example) -> str:
        return _join(_groups(example))

    def for_training(self, example: Example) -> Example:
        """Speaker identification trains on the beginning of long recordings."""
        if not isinstance(self.spec, SpeakerIdentification) or not isinstance(example.audio, Take):
            return example
        most = round(self.spec.max_train_seconds * SAMPLE_RATE_HZ)
        if example.num_samples <= most:
            return example
        return replace(
            example,
            key=f"{example.key}:{most}",
            num_samples=most,
            audio=replace(example.audio, stop=example.audio.start + most),
        )

    def begin(self, train: Sequence[Example], others: Sequence[Example]) -> Classifier:
        classes = {name: tuple(sorted({_groups(item)[name] for item in train})) for name in sorted(_groups(train[0]))}
        for name, known in classes.items():
            if len(known) == 1:
                raise BadDataError(
                    "CLASS_SINGLE",
                    f"all {len(train)} training examples have the {name} {known[0]}, expected two or more; in the "
                    "evaluation's train part; use another split or corpus",
                )
            unseen = sorted({_groups(item)[name] for item in others} - set(known))
            if unseen:
                more = f" and {len(unseen) - SHOWN} more" if len(unseen) > SHOWN else ""
                raise BadDataError(
                    "CLASS_UNSEEN",
                    f"the {name} {', '.join(unseen[:SHOWN])}{more} is in the dev or test part, but not in the train "
                    "part, so no head can learn it; in the evaluation's split; use another split",
                )
        return Classifier(classes, self.head)

    def recall(self, learned: JsonValue) -> Classifier:
        assert isinstance(learned, dict)  # noqa: S101 - a classifier's own
        return Classifier({name: tuple(map(str, known)) for name, known in learned.items()}, self.head)  # type: ignore[arg-type]

    def _classes_of(self, row: Row, corpus: str) -> JsonValue:
        if isinstance(self.spec, SpeakerIdentification):
            if not row.speaker:
                raise BadDataError(
                    "TARGET_MISSING",
                    f"the speaker of {row.key} is not known; in the corpus {corpus}; give the corpus a layout that "
                    "names speakers",
                )
            return _shared("speaker", row.speaker)
        if isinstance(self.spec, IntentClassification):
            return require(row, "intent", corpus)
        found = require(row, "class", corpus)
        return _shared("class", found) if isinstance(found, str) else {"class": found}


@lru_cache(maxsize=1 << 14)
def _shared(group: str, known: str) -> JsonValue:
    """A target that all examples of a class have in common: a million of them are one object."""
    return {group: known}


@dataclass(frozen=True)
class Classifier:
    """Classification with known classes."""

    classes: dict[str, tuple[str, ...]]  # of each group, in order
    head: PooledLinearHead

    @property
    def learned(self) -> JsonValue:
        return {name: list(known) for name, known in self.classes.items()}

    def check(self, size: Size) -> None:
        """Any size will do."""

    def check_tested(self, test: Iterable[Example]) -> None:
        """Raise BadDataError (METRIC_UNDEFINED) for a test part of one class: who always says it would be perfect."""
        require_classes(_join(_groups(item)) for item in test)

    def cut(self, example: Example, start: int, stop: int) -> Example:
        """A part of a recording is of the same class."""
        return cut_audio(example, start, stop)

    def make_head(self, size: Size) -> nn.Module:
        counts = [len(known) for known in self.classes.values()]
        return PooledLinear(size.num_states, size.num_channels, self.head.projection, counts)

    def loss(self, head: nn.Module, batch: Batch) -> Tensor:
        """The sum over groups of the mean cross entropies."""
        total = batch.states.new_zeros(())
        for (name, known), logits in zip(self.classes.items(), head(batch.pooled), strict=True):
            numbers = [known.index(_groups(item)[name]) for item in batch.examples]
            total = total + functional.cross_entropy(logits, torch.tensor(numbers, device=logits.device))
        return total

    def predict(self, head: nn.Module, batch: Batch) -> list[JsonValue]:
        best = [logits.argmax(dim=1).tolist() for logits in head(batch.pooled)]
        return [
            {name: known[numbers[row]] for (name, known), numbers in zip(self.classes.items(), best, strict=True)}
            for row in range(len(batch.examples))
        ]

    def score(
        self,
        examples: Sequence[Example],
        predictions: Sequence[JsonValue],
        *,
        with_intervals: bool = True,
    ) -> tuple[Figure, ...]:
        """The accuracy: all groups right. With several groups, that of each; with one, the mean of its recalls.

        Raises BadDataError (METRIC_UNDEFINED) for a test part of one class.
        """
        wanted = [_join(_groups(item)) for item in examples]
        found = [_join(item) for item in predictions]  # type: ignore[arg-type]
        accuracy = _accuracy("accuracy", [one == other for one, other in zip(wanted, found, strict=True)])
        if not with_intervals:
            return (accuracy,)
        confusions = count_confusions(wanted, found)
        if len(self.classes) == 1:
            return (accuracy, figure_of("macro_recall", confusions.macro_recall, None))
        return (accuracy, *(self._accuracy_of(name, examples, predictions) for name in self.classes))

    def _accuracy_of(self, name: str, examples: Sequence[Example], predictions: Sequence[JsonValue]) -> Figure:
        pairs = zip(examples, predictions, strict=True)
        return _accuracy(f"{name}_accuracy", [_groups(item)[name] == found[name] for item, found in pairs])  # type: ignore[index,call-overload]


def _accuracy(name: str, right: Sequence[bool]) -> Figure:
    return share_of(name, sum(right), len(right))


def _groups(example: Example) -> dict[str, str]:
    """The class of each group of an example; `_check_groups` has looked at it."""
    return example.target  # type: ignore[return-value]


def _join(groups: dict[str, str]) -> str:
    """The classes of all groups as one, whatever the order of the groups."""
    return "\x1f".join(groups[name] for name in sorted(groups))


def _check_groups(examples: Sequence[Example]) -> None:
    """Each target is an object of texts, with the same names in all."""
    first = examples[0] if examples else None
    for item in examples:
        target = item.target
        if not isinstance(target, dict) or not target or not all(isinstance(value, str) for value in target.values()):
            raise BadDataError(
                "TARGET_BAD",
                f"the target of {item.key} is {target!r}, expected an object of texts; in the corpus; correct its "
                "table of targets",
            )
        assert first is not None  # noqa: S101 - there is one
        if target.keys() != _groups(first).keys():
            raise BadDataError(
                "TARGET_BAD",
                f"the target of {item.key} has {sorted(target)}, that of {first.key} has "
                f"{sorted(_groups(first))}; in the corpora; all need the same fields",
            )
