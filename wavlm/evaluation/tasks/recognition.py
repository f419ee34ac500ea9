"""Tasks that write a sequence, by CTC: phonemes, letters, and letters with marks around slot values.

Symbols are those of the training targets; what dev and test have beyond them cannot be written and counts as errors.

Legend: B utterances, S states, F frames, D channels, C classes with the blank as number 0.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pydantic import JsonValue
from torch import Tensor, nn

from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example
from wavlm.evaluation.heads.blstm import Blstm
from wavlm.evaluation.heads.ctc import ctc_greedy, ctc_loss
from wavlm.evaluation.heads.frame_linear import FrameLinear
from wavlm.evaluation.heads.spec_augment import augment
from wavlm.evaluation.heads.weighted_sum import OnStates
from wavlm.evaluation.labelled import LabelledCorpus, Row
from wavlm.evaluation.metrics.words import count_edits, split_characters, split_words
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.results.figures import rate_of_edits
from wavlm.evaluation.tasks.slots import mark_slots, score_slots
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.evaluation.tasks.texts import normalize_text
from wavlm.specs.heads import BlstmHead, FrameLinearHead
from wavlm.specs.shapes import WINDOW_SAMPLES
from wavlm.specs.tasks import OtherRecognition, PhonemeRecognition, SlotFilling, SpecAugmentSpec, SpeechRecognition

RecogniserSpec = PhonemeRecognition | SpeechRecognition | OtherRecognition | SlotFilling
SPACE = " "
Score = Callable[[Sequence[Sequence[str]], Sequence[Sequence[str]], Sequence[str] | None], tuple[Figure, ...]]


@dataclass(frozen=True)
class Transcribed(Example):
    """An example with symbols."""

    num_foreign: int = 0  # recordings of the evaluation's corpora that are left out, since their text is of another one


@dataclass(frozen=True)
class Recognition:
    """A sequence of symbols per recording."""

    spec: RecogniserSpec
    head: FrameLinearHead | BlstmHead

    @property
    def is_pooled(self) -> bool:
        return False

    def collect(self, corpora: Sequence[LabelledCorpus], noise: Sequence[LabelledCorpus] = ()) -> list[Example]:  # noqa: ARG002
        found = [(corpus, row, self._symbols_of(row, corpus.name)) for corpus in corpora for row in corpus.rows]
        num_foreign = sum(symbols is None for _, _, symbols in found)
        return [
            Transcribed(
                key=f"{corpus.name}/{row.key}",
                speaker=row.speaker,
                part=row.part,
                num_samples=row.num_samples,
                audio=row.take,
                target=list(symbols),
                content=row.content,
                num_foreign=num_foreign,
            )
            for corpus, row, symbols in found
            if symbols is not None
        ]

    def class_of(self, example: Example) -> str:  # noqa: ARG002
        return ""

    def for_training(self, example: Example) -> Example:
        return example

    def begin(self, train: Sequence[Example], others: Sequence[Example]) -> Recogniser:  # noqa: ARG002
        symbols = tuple(sorted({symbol for item in train for symbol in _target(item)}))
        augment = getattr(self.spec, "augment", None)
        return Recogniser(symbols, self.head, augment, self._score, tuple(train), self._is_thinned)

    def recall(self, learned: JsonValue) -> Recogniser:
        assert isinstance(learned, list)  # noqa: S101 - a recogniser's own
        return Recogniser(tuple(map(str, learned)), self.head, None, self._score, (), self._is_thinned)

    @property
    def _is_thinned(self) -> bool:
        return isinstance(self.spec, OtherRecognition) and self.spec.every_20_ms

    def _symbols_of(self, row: Row, corpus: str) -> Sequence[str] | None:
        """The target of a recording; None: it is left out. Raises BadDataError: TARGET_MISSING, TARGET_BAD if empty."""
        if isinstance(self.spec, PhonemeRecognition):
            symbols = [phone for phone in _phones_of(row, corpus) if phone not in self.spec.drop]
        elif isinstance(self.spec, OtherRecognition) and self.spec.normalize_as != "none":
            text = normalize_text(_text_of(row, corpus), self.spec.normalize_as)
            return split_characters(text, keep_spaces=True) if text else None
        else:
            text = _text_of(row, corpus)
            letters = {"as_written": text, "lower": text.lower(), "upper": text.upper()}[self.spec.letters]
            if isinstance(self.spec, SlotFilling):
                symbols = mark_slots(letters, row, corpus, self.spec.letters)
            else:
                kept = "".join(character for character in letters if character not in self.spec.drop)
                symbols = split_characters(SPACE.join(kept.split()), keep_spaces=True)
        if not symbols:
            raise BadDataError(
                "TARGET_BAD",
                f"the target of {row.key} is empty, expected what is said; in the corpus {corpus}; correct its text or "
                "leave the recording out",
            )
        return symbols

    def _score(
        self, references: Sequence[Sequence[str]], found: Sequence[Sequence[str]], speakers: Sequence[str] | None
    ) -> tuple[Figure, ...]:
        if isinstance(self.spec, PhonemeRecognition):
            return (rate_of_edits("per", count_edits(references, found), speakers),)
        if isinstance(self.spec, SlotFilling):
            return score_slots(references, found, speakers)
        texts, written = (["".join(item) for item in every] for every in (references, found))
        words = count_edits([split_words(text) for text in texts], [split_words(text) for text in written])
        both = (rate_of_edits("wer", words, speakers), rate_of_edits("cer", count_edits(references, found), speakers))
        is_by_character = isinstance(self.spec, OtherRecognition) and self.spec.score == "cer"
        return both[::-1] if is_by_character else both


@dataclass(frozen=True)
class Recogniser:
    """Recognition with known symbols."""

    symbols: tuple[str, ...]  # without the blank
    head: FrameLinearHead | BlstmHead
    augment: SpecAugmentSpec | None
    score_symbols: Score
    train: tuple[Example, ...] = field(default=(), repr=False)
    is_thinned: bool = False  # to a frame every 20 ms

    @property
    def learned(self) -> JsonValue:
        return list(self.symbols)

    def check(self, size: Size) -> None:
        """Raise BadDataError (TARGET_LONG) if a training target does not fit into its frames: CTC cannot learn it."""
        hop_samples = size.hop_samples * self._step(size)
        for item in self.train:
            target = _target(item)
            needed = len(target) + sum(a == b for a, b in pairwise(target))
            num_frames = max(0, (item.num_samples - WINDOW_SAMPLES) // hop_samples + 1)
            if needed > num_frames:
                raise BadDataError(
                    "TARGET_LONG",
                    f"the target of {item.key} needs {needed} frames for {len(target)} symbols, its audio has "
                    f"{num_frames}; in the evaluation's train part; check that text and audio belong together",
                )

    def make_head(self, size: Size) -> nn.Module:
        num_classes = len(self.symbols) + 1
        if isinstance(self.head, FrameLinearHead):
            frames: nn.Module = FrameLinear(size.num_channels, num_classes, hidden=self.head.projection)
        else:
            frames = Blstm(
                size.num_channels,
                num_classes,
                hidden=self.head.hidden,
                num_layers=self.head.layers,
                dropout=self.head.dropout,
                tanh_projections=self.head.tanh_projections,
            )
        return OnStates(size.num_states, frames, self._step(size))

    def loss(self, head: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(head, OnStates)  # noqa: S101 - made above
        frames = head.sum(batch.states)
        if self.augment is not None:
            frames = augment(frames, batch.num_frames, self.augment)
        numbers = {symbol: number for number, symbol in enumerate(self.symbols, 1)}
        targets = [[numbers[symbol] for symbol in _target(item)] for item in batch.examples]
        return ctc_loss(head.on_sum(frames, batch.num_frames), head.count(batch.num_frames), targets)

    def predict(self, head: nn.Module, batch: Batch) -> list[JsonValue]:
        """The symbols of each utterance, by the likeliest class of each frame."""
        assert isinstance(head, OnStates)  # noqa: S101 - made above
        found = ctc_greedy(head(batch.states, batch.num_frames), head.count(batch.num_frames))
        return [[self.symbols[number - 1] for number in numbers] for numbers in found]

    def score(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue], *, with_intervals: bool = True
    ) -> tuple[Figure, ...]:
        found = [[str(symbol) for symbol in item] for item in predictions if isinstance(item, list)]
        speakers = [item.speaker for item in examples] if with_intervals else None
        figures = self.score_symbols([_target(item) for item in examples], found, speakers)
        num_foreign = examples[0].num_foreign if isinstance(examples[0], Transcribed) else 0
        if not num_foreign:
            return figures
        note = f"{num_foreign} recordings of the corpora have a text of other letters and are left out"
        return tuple(figure.model_copy(update={"note": note}) for figure in figures)

    def _step(self, size: Size) -> int:
        """Of so many frames the first is taken."""
        return size.frames_per_hop("frames every 20 ms") if self.is_thinned else 1


def _target(example: Example) -> list[str]:
    assert isinstance(example.target, list)  # noqa: S101 - made above
    return [str(symbol) for symbol in example.target]


def _phones_of(row: Row, corpus: str) -> list[str]:
    phones = row.target.get("phones")
    if isinstance(phones, list):
        return [str(phone) for phone in phones]
    if row.phones:
        return [phone.phone for phone in row.phones]
    raise BadDataError(
        "TARGET_MISSING",
        f"the phones of {row.key} are not known; in the corpus {corpus}; give the corpus a layout that has phones or a "
        "lexicon",
    )


def _text_of(row: Row, corpus: str) -> str:
    """The text in Unicode's form NFC, so that a letter and its accent are one character."""
    text = row.target.get("text", row.text)
    if not isinstance(text, str):
        raise BadDataError(
            "TARGET_MISSING", f"the text of {row.key} is not known; in the corpus {corpus}; give it transcripts"
        )
    return unicodedata.normalize("NFC", text)
