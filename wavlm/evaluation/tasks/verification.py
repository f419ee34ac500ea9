"""Speaker verification: an embedding per recording, learned from the speakers of the train part, compared by cosine.

A target is {"speaker": name}, and of the enrolment side of trials {"trials": [[key, is target], ...]} as well.

Legend: B utterances, S states, F frames, D channels, H width of an embedding, N trials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from wavlm.corpus.targets import Trials, read_trials
from wavlm.errors import BadDataError, Code
from wavlm.evaluation.examples import Example
from wavlm.evaluation.heads.weighted_sum import WeightedSum
from wavlm.evaluation.heads.xvector import HIDDEN, MIN_FRAMES, POOLED, AmSoftmax, XVector
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.evaluation.metrics.checks import Floats
from wavlm.evaluation.metrics.intervals import Sides
from wavlm.evaluation.metrics.verification import ErrorCurve, RankedTrials, rank_trials
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.results.figures import figure_of_trials
from wavlm.evaluation.tasks.stretches import cut_stretches
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.evaluation.tasks.trials import Pairs, pair_by_rule
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.heads import XvectorHead
from wavlm.specs.pairs import SpeakerVerification
from wavlm.specs.shapes import WINDOW_SAMPLES, num_labels


@dataclass(frozen=True)
class Verification:
    """One or two voices."""

    spec: SpeakerVerification
    head: XvectorHead

    @property
    def is_pooled(self) -> bool:
        return False

    def collect(self, corpora: Sequence[LabelledCorpus], noise: Sequence[LabelledCorpus] = ()) -> list[Example]:  # noqa: ARG002
        examples, lists = [], dict[str, int]()
        for corpus in corpora:
            trials = read_trials(corpus.corpus_dir)
            lists |= {name: lists.get(name, 0) + 1 for name in trials.names}
            of_key = _by_enrolment(trials.of(self.spec.trials), corpus.name) if self.spec.trials else {}
            examples += list(_collect(corpus, of_key))
        if self.spec.trials and self.spec.trials not in lists:
            raise BadDataError(
                Code.TARGET_MISSING,
                f"there is no list of trials {self.spec.trials}, found {', '.join(lists) or 'none'}; in the corpora "
                f"{', '.join(corpus.name for corpus in corpora)}; name one of them, or none to make trials by rule",
            )
        return examples

    def class_of(self, example: Example) -> str:
        return example.speaker

    def for_training(self, example: Example) -> Example | None:
        return example if example.seconds >= self.spec.min_train_seconds else None

    def begin(self, train: Sequence[Example], others: Sequence[Example]) -> Verifier:
        speakers = tuple(sorted({item.speaker for item in train}))
        if len(speakers) < 2:
            raise BadDataError(
                Code.CLASS_SINGLE,
                f"all {len(train)} training examples are of {speakers[0]}, expected several speakers; in the "
                "evaluation's train part; use another split or corpus",
            )
        return Verifier(self.spec, self.head, speakers, (*train, *others))


@dataclass(frozen=True)
class Verifier:
    """Verification whose head learns to tell certain speakers apart."""

    spec: SpeakerVerification
    head: XvectorHead
    speakers: tuple[str, ...]
    known: tuple[Example, ...] = field(default=(), repr=False)

    @property
    def keeps_heads(self) -> bool:
        return self.spec.best_on_test

    def check(self, size: Size) -> None:
        """Raise BadDataError (UTTERANCE_SHORT) for recordings that are too short for an x-vector."""
        short = [item for item in self.known if _num_frames(item, size) < MIN_FRAMES]
        if short:
            least_s = (WINDOW_SAMPLES + (MIN_FRAMES - 1) * size.hop_samples) / SAMPLE_RATE_HZ
            first = min(short, key=lambda item: item.num_samples)
            raise BadDataError(
                Code.UTTERANCE_SHORT,
                f"{len(short)} of {len(self.known)} recordings are shorter than the {least_s:.3f} s that an x-vector "
                f"needs, such as {first.key} with {first.seconds:.3f} s; in the evaluation's data; raise min_seconds "
                "and max_rejected of the evaluation's shards, or give trials without them",
            )

    def check_parts(self, dev: Sequence[Example], test: Sequence[Example]) -> None:
        """Raise BadDataError: TARGET_BAD for trials that leave a part, METRIC_UNDEFINED for those of one kind."""
        for name, part in (("dev", dev), ("test", test)):
            pairs = pair_examples(part, self.spec)
            if not (0 < pairs.is_target.sum() < len(pairs)):
                raise BadDataError(
                    Code.METRIC_UNDEFINED,
                    f"{int(pairs.is_target.sum())} of {len(pairs)} trials of the {name} part are of one speaker, "
                    f"expected some that are and some that are not; of {len(part)} recordings; use another split",
                )

    def make_head(self, size: Size) -> nn.Module:
        chunk_frames = max(MIN_FRAMES, round(self.spec.chunk_seconds * SAMPLE_RATE_HZ / size.hop_samples))
        return EmbeddingHead(size, self.head, len(self.speakers), chunk_frames)

    def loss(self, head: nn.Module, batch: Batch) -> Tensor:
        """AM-softmax on a random stretch of each utterance, from torch's default generator."""
        assert isinstance(head, EmbeddingHead)  # noqa: S101 - made above
        states, num_frames, _ = cut_stretches(batch.states, batch.num_frames, head.chunk_frames)
        vectors = head.vectors(head.sum(states), num_frames)
        numbers = [self.speakers.index(item.speaker) for item in batch.examples]
        loss: Tensor = head.margins(vectors, torch.tensor(numbers, device=vectors.device))
        return loss

    def predict(self, head: nn.Module, batch: Batch) -> list[JsonValue]:
        """The embedding of each utterance, (H,), of length 1."""
        assert isinstance(head, EmbeddingHead)  # noqa: S101 - made above
        vectors = head.vectors.embed(head.sum(batch.states), batch.num_frames)
        rows: list[JsonValue] = nn.functional.normalize(vectors, dim=1).cpu().tolist()
        return rows

    def score(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue], *, with_intervals: bool = True
    ) -> tuple[Figure, ...]:
        """EER and minDCF of the trials of these examples."""
        pairs = pair_examples(examples, self.spec)
        ranked = rank_trials(score_pairs(pairs, predictions), pairs.is_target)
        sides = sides_of(examples, pairs) if with_intervals else None
        kind = f"of {self.spec.trials}" if _are_listed(examples) else "made by rule"
        note = f"{len(pairs):,} trials {kind}, {int(pairs.is_target.sum()):,} of one speaker"
        return (
            _figure_of_trials("eer", ranked, lambda curve: curve.eer(), sides, note),
            _figure_of_trials(
                "min_dcf",
                ranked,
                lambda curve: curve.min_dcf(self.spec.p_target),
                sides,
                f"P(target) {self.spec.p_target:g}, costs 1 and 1",
            ),
        )


def pair_examples(examples: Sequence[Example], spec: SpeakerVerification) -> Pairs:
    """The listed trials of some examples; where they have none, trials made by rule.

    Raises BadDataError (TARGET_BAD) for listed trials that leave these examples.
    """
    if not _are_listed(examples):
        keys, speakers = [item.key for item in examples], [item.speaker for item in examples]
        return pair_by_rule(keys, speakers, spec.max_trials)
    number_of = {item.key: number for number, item in enumerate(examples)}
    found, outside = [], []
    for number, item in enumerate(examples):
        for key, is_target in _listed(item):
            if key in number_of:
                found.append((number, number_of[key], is_target))
            else:
                outside.append(key)
    if outside:
        raise BadDataError(
            Code.TARGET_BAD,
            f"{len(outside)} trials of {spec.trials} name recordings outside of the part that they begin in, "
            f"such as {outside[0]}; in the evaluation's split; name the part of the list, and no max_utterances",
        )
    left, right, is_target = np.array(found, dtype=np.int64).T
    return Pairs(left, right, is_target.astype(np.bool_))


def score_pairs(pairs: Pairs, predictions: Sequence[JsonValue]) -> Floats:
    """The cosine of the embeddings of each trial, (N,)."""
    vectors = np.array(predictions, dtype=np.float64)  # (E, H)
    found: Floats = np.einsum("nh,nh->n", vectors[pairs.left], vectors[pairs.right])
    return found


def sides_of(examples: Sequence[Example], pairs: Pairs) -> Sides:
    """What trials join: recordings and their speakers."""
    left, right = ([examples[number] for number in side] for side in (pairs.left, pairs.right))
    return Sides(
        ([item.key for item in left], [item.key for item in right]),
        ([item.speaker for item in left], [item.speaker for item in right]),
    )


class EmbeddingHead(nn.Module):
    """The weighted sum, the network that embeds, and what training compares embeddings with."""

    def __init__(self, size: Size, spec: XvectorHead, num_speakers: int, chunk_frames: int) -> None:
        super().__init__()
        self.chunk_frames = chunk_frames
        self.sum = WeightedSum(size.num_states)
        pooled = max(1, round(POOLED / HIDDEN * spec.width))
        self.vectors = XVector(size.num_channels, hidden=spec.width, pooled=pooled)
        self.margins = AmSoftmax(spec.width, num_speakers, scale=spec.scale, margin=spec.margin)


def _by_enrolment(trials: Trials, corpus: str) -> dict[str, list[JsonValue]]:
    """The other side of each trial, and its answer, by the key of the first side."""
    found: dict[str, list[JsonValue]] = {}
    for enrol, test, is_target in zip(trials.enrol, trials.test, trials.is_target, strict=True):
        found.setdefault(enrol, []).append([f"{corpus}/{test}", int(is_target)])
    return found


def _collect(corpus: LabelledCorpus, trials: Mapping[str, list[JsonValue]]) -> Iterator[Example]:
    for row in corpus.rows:
        if not row.speaker:
            raise BadDataError(
                Code.TARGET_MISSING,
                f"the speaker of {row.key} is not known; in the corpus {corpus.name}; give the corpus a layout that "
                "names speakers",
            )
        target: dict[str, JsonValue] = {"speaker": row.speaker}
        if row.key in trials:
            target["trials"] = trials[row.key]
        yield Example(f"{corpus.name}/{row.key}", row.speaker, row.part, row.num_samples, row.take, target, row.content)


def _listed(example: Example) -> Sequence[tuple[str, int]]:
    """The other side and the answer of each listed trial that begins with an example."""
    return example.target.get("trials", ()) if isinstance(example.target, dict) else ()  # type: ignore[return-value]


def _are_listed(examples: Sequence[Example]) -> bool:
    return any(_listed(item) for item in examples)


def _num_frames(example: Example, size: Size) -> int:
    return int(num_labels(example.num_samples, SAMPLE_RATE_HZ // size.hop_samples))


def _figure_of_trials(
    name: str, ranked: RankedTrials, value_of: Callable[[ErrorCurve], float], sides: Sides | None, note: str
) -> Figure:
    def value(weights: Floats) -> float:
        return value_of(ranked.curve(weights))

    return figure_of_trials(name, value_of(ranked.curve()), value, sides, is_lower_better=True, note=note)
