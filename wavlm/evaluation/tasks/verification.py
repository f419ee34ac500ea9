"""Speaker verification: an embedding per recording, learned from the speakers of the train part, compared by cosine.

A target is {"speaker": name}, and of the enrolment side of trials {"trials": {list: [[key, is target], ...]}} as well.

Legend: B utterances, S states, F frames, D channels, H width of an embedding, N trials.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.examples import Example, cut_audio
from wavlm.evaluation.heads.embedding import EmbeddingHead, least_frames
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.splits import Split
from wavlm.evaluation.tasks.back_end import (
    BackEnd,
    check_learning,
    embeddings_of,
    examples_to_learn_from,
    score_cosines,
)
from wavlm.evaluation.tasks.back_end_files import save_back_end
from wavlm.evaluation.tasks.speeds import at_speeds
from wavlm.evaluation.tasks.stretches import cut_stretches
from wavlm.evaluation.tasks.task import Batch, Scorer, Size
from wavlm.evaluation.tasks.trial_figures import describe_trials
from wavlm.evaluation.tasks.trials import Pairs, find_trials, read_lists
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.frames import PAPER_FRAMES, num_labels
from wavlm.specs.heads import XvectorHead
from wavlm.specs.speakers import EcapaHead, SpeakerVerification


@dataclass(frozen=True)
class Verification:
    """One or two voices."""

    spec: SpeakerVerification
    head: XvectorHead | EcapaHead

    @property
    def is_pooled(self) -> bool:
        return False

    def collect(self, corpora: Sequence[LabelledCorpus], noise: Sequence[LabelledCorpus] = ()) -> list[Example]:  # noqa: ARG002
        lists = read_lists(corpora, self.spec.lists)
        return [item for corpus, listed in zip(corpora, lists, strict=True) for item in _collect(corpus, listed)]

    def class_of(self, example: Example) -> str:
        return example.speaker

    def for_training(self, example: Example) -> Example | None:
        return example if example.seconds >= self.spec.min_train_seconds else None

    def mix(self, split: Split, noise: Sequence[LabelledCorpus]) -> Split:  # noqa: ARG002
        """The split with the train part at other speeds, too."""
        return replace(split, train=at_speeds(split.train, self.spec.speeds))

    def begin(self, train: Sequence[Example], others: Sequence[Example]) -> Verifier:
        speakers = tuple(sorted({item.speaker for item in train}))
        if len(speakers) < 2:
            raise BadDataError(
                Code.CLASS_SINGLE,
                f"all {len(train)} training examples are of {speakers[0]}, expected several speakers; in the "
                "evaluation's train part; use another split or corpus",
            )
        return Verifier(self.spec, self.head, speakers, (*train, *others))

    def recall(self, learned: JsonValue) -> Verifier:
        assert isinstance(learned, list)  # noqa: S101 - a verifier's own
        return Verifier(self.spec, self.head, tuple(map(str, learned)))


@dataclass(frozen=True)
class Verifier:
    """Verification whose head learns to tell certain speakers apart."""

    spec: SpeakerVerification
    head: XvectorHead | EcapaHead
    speakers: tuple[str, ...]
    known: tuple[Example, ...] = field(default=(), repr=False)

    @cached_property
    def number_of(self) -> dict[str, int]:
        """The class of each training speaker."""
        return {name: number for number, name in enumerate(self.speakers)}

    @property
    def learned(self) -> JsonValue:
        return list(self.speakers)

    @property
    def keeps_heads(self) -> bool:
        return self.spec.best_on_test

    def check(self, size: Size) -> None:
        """Raise BadDataError (UTTERANCE_SHORT) for recordings that are too short for the head."""
        least = least_frames(self.head)
        short = [item for item in self.known if _num_frames(item, size) < least]
        if short:
            least_s = (PAPER_FRAMES.window_samples + (least - 1) * size.hop_samples) / SAMPLE_RATE_HZ
            first = min(short, key=lambda item: item.num_samples)
            raise BadDataError(
                Code.UTTERANCE_SHORT,
                f"{len(short)} of {len(self.known)} recordings are shorter than the {least_s:.3f} s that the head "
                f"{self.head.type} needs, such as {first.key} with {first.seconds:.3f} s; in the evaluation's data; "
                "raise min_seconds and max_rejected of the evaluation's shards, or give trials without them",
            )

    def check_parts(self, dev: Sequence[Example], test: Sequence[Example]) -> None:
        """Raise BadDataError: TARGET_BAD for trials that leave a part, METRIC_UNDEFINED for those of one kind.

        CLASS_SINGLE and METRIC_UNDEFINED where nothing can be learned to score trials with.
        """
        for name, part in (("dev", dev), ("test", test)):
            for trials, pairs in self.pair(part).items():
                if not (0 < pairs.is_target.sum() < len(pairs)):
                    raise BadDataError(
                        Code.METRIC_UNDEFINED,
                        f"{int(pairs.is_target.sum())} of {len(pairs)} trials of the {name} part are of one speaker, "
                        f"expected some that are and some that are not; of {len(part)} recordings"
                        f"{f' and the list {trials}' if trials else ''}; use another split",
                    )

        if self.spec.scoring:
            others = {item.key for part in (dev, test) for item in part}
            check_learning(self.spec.scoring, [item for item in self.known if item.key not in others], dev)

    def cut(self, example: Example, start: int, stop: int) -> Example:
        """A part of a recording is of the same speaker."""
        return cut_audio(example, start, stop)

    def make_head(self, size: Size) -> nn.Module:
        return EmbeddingHead(size, self.head, len(self.speakers))

    def loss(self, head: nn.Module, batch: Batch) -> Tensor:
        """The loss of a random stretch of each utterance, from torch's default generator."""
        assert isinstance(head, EmbeddingHead)  # noqa: S101 - made above
        longest = max(least_frames(self.head), round(self.spec.chunk_seconds * SAMPLE_RATE_HZ / head.hop_samples))
        states, num_frames, _ = cut_stretches(batch.states, batch.num_frames, longest)
        numbers = [self.number_of[item.speaker] for item in batch.examples]
        update = batch.moment.update if batch.moment else 0
        return head.loss(states, num_frames, torch.tensor(numbers, device=states.device), update)

    def predict(self, head: nn.Module, batch: Batch) -> list[JsonValue]:
        """The embedding of each utterance, (H,)."""
        rows: list[JsonValue] = head(batch.states, batch.num_frames).cpu().tolist()
        return rows

    def calibrate_on(self, train: Sequence[Example], dev: Sequence[Example]) -> Sequence[Example]:
        """Recordings of the cohort's voices, then those of the trials that calibrate, where they are others."""
        return examples_to_learn_from(self.spec.scoring, train, dev) if self.spec.scoring else ()

    def calibrate(self, examples: Sequence[Example], predictions: Sequence[JsonValue]) -> Scorer:
        """What scores by the cohort of training voices."""
        assert self.spec.scoring is not None  # noqa: S101 - it named examples
        cohort = [item.speaker in self.number_of for item in examples]
        back_end = BackEnd.learn(self.spec.scoring, examples, embeddings_of(predictions), np.array(cohort))
        return CalibratedVerifier(self, back_end)

    def score(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue], *, with_intervals: bool = True
    ) -> tuple[Figure, ...]:
        """EER and minDCF of the trials of these examples, by the cosines of their embeddings."""
        scored = score_cosines(embeddings_of(predictions), self.pair(examples))
        return describe_trials(examples, scored, self.spec.p_target, with_intervals=with_intervals)

    def pair(self, examples: Sequence[Example]) -> Mapping[str, Pairs]:
        """The trials of some examples, by list; where no list names them, trials made by rule."""
        return find_trials(examples, self.spec.lists, self.spec.max_trials)


@dataclass(frozen=True)
class CalibratedVerifier:
    """What scores trials after a back-end was learned."""

    verifier: Verifier
    back_end: BackEnd

    def score(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue], *, with_intervals: bool = True
    ) -> tuple[Figure, ...]:
        """EER and minDCF by cosine, by AS-norm, and after calibration."""
        scored = self.back_end.score(examples, embeddings_of(predictions), self.verifier.pair(examples))
        return describe_trials(examples, scored, self.verifier.spec.p_target, with_intervals=with_intervals)

    def save(self, path: Path) -> None:
        save_back_end(self.back_end, path)


def _collect(corpus: LabelledCorpus, listed: Mapping[str, JsonValue]) -> Iterator[Example]:
    for row in corpus.rows:
        if not row.speaker:
            raise BadDataError(
                Code.TARGET_MISSING,
                f"the speaker of {row.key} is not known; in the corpus {corpus.name}; give the corpus a layout that "
                "names speakers",
            )
        target: dict[str, JsonValue] = {"speaker": row.speaker}
        if row.key in listed:
            target["trials"] = listed[row.key]
        yield Example(f"{corpus.name}/{row.key}", row.speaker, row.part, row.num_samples, row.take, target, row.content)


def _num_frames(example: Example, size: Size) -> int:
    return int(num_labels(example.num_samples, SAMPLE_RATE_HZ // size.hop_samples))
