"""Tasks that write a sequence, by CTC: phonemes, letters, and letters with marks around slot values.

Symbols are those of the training targets; what dev and test have beyond them cannot be written and counts as errors.

Legend: B utterances, S states, F frames, D channels, C classes with the blank as number 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from pydantic import JsonValue
from torch import Tensor, nn

from wavlm.errors import BadDataError
from wavlm.evaluation.decoding.lexicon import LexiconDecoder
from wavlm.evaluation.decoding.predictions import LEXICON, WITH_MODEL, is_both, read_symbols, write_both
from wavlm.evaluation.examples import Example
from wavlm.evaluation.heads.blstm import Blstm
from wavlm.evaluation.heads.ctc import ctc_greedy, ctc_loss
from wavlm.evaluation.heads.frame_linear import FrameLinear
from wavlm.evaluation.heads.spec_augment import augment
from wavlm.evaluation.heads.weighted_sum import OnStates
from wavlm.evaluation.labelled import LabelledCorpus, Row
from wavlm.evaluation.metrics.words import count_edits, split_words
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.results.figures import rate_of_edits
from wavlm.evaluation.tasks.letters import TextSpec, change_case, check_decoder, find_text, make_decoder, split_text
from wavlm.evaluation.tasks.slots import mark_slots, score_slots
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.specs.heads import BlstmHead, FrameLinearHead
from wavlm.specs.shapes import WINDOW_SAMPLES
from wavlm.specs.tasks import OtherRecognition, PhonemeRecognition, SlotFilling, SpeechRecognition

RecogniserSpec = PhonemeRecognition | SpeechRecognition | OtherRecognition | SlotFilling
Score = Callable[[Sequence[Sequence[str]], Sequence[Sequence[str]], Sequence[str] | None], tuple[Figure, ...]]


@dataclass(frozen=True)
class Recognition:
    """A sequence of symbols per recording."""

    spec: RecogniserSpec
    head: FrameLinearHead | BlstmHead

    @property
    def is_pooled(self) -> bool:
        return False

    def collect(self, corpora: Sequence[LabelledCorpus], noise: Sequence[LabelledCorpus] = ()) -> list[Example]:  # noqa: ARG002
        return [
            Example(
                key=f"{corpus.name}/{row.key}",
                speaker=row.speaker,
                part=row.part,
                num_samples=row.num_samples,
                audio=row.take,
                target=list(self._symbols_of(row, corpus.name)),
                content=row.content,
            )
            for corpus in corpora
            for row in corpus.rows
        ]

    def class_of(self, example: Example) -> str:  # noqa: ARG002
        return ""

    def for_training(self, example: Example) -> Example:
        return example

    def begin(self, train: Sequence[Example], others: Sequence[Example]) -> Recogniser:  # noqa: ARG002
        symbols = tuple(sorted({symbol for item in train for symbol in _target(item)}))
        return Recogniser(self.spec, symbols, self.head, self._score, tuple(train))

    def recall(self, learned: JsonValue) -> Recogniser:
        assert isinstance(learned, list)  # noqa: S101 - a recogniser's own
        return Recogniser(self.spec, tuple(map(str, learned)), self.head, self._score)

    def _symbols_of(self, row: Row, corpus: str) -> Sequence[str]:
        """The target of a recording. Raises BadDataError: TARGET_MISSING, TARGET_BAD if it is empty."""
        if isinstance(self.spec, PhonemeRecognition):
            symbols = [phone for phone in _phones_of(row, corpus) if phone not in self.spec.drop]
        else:
            text = find_text(row, corpus)
            if isinstance(self.spec, SlotFilling):
                symbols = mark_slots(change_case(text, self.spec.letters), row, corpus, self.spec.letters)
            else:
                symbols = split_text(self.spec, text)
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

    spec: RecogniserSpec
    symbols: tuple[str, ...]  # without the blank
    head: FrameLinearHead | BlstmHead
    score_symbols: Score
    train: tuple[Example, ...] = field(default=(), repr=False)
    decoder: LexiconDecoder | None = field(default=None, repr=False)  # of the test part

    def for_test(self) -> Recogniser:
        """The same with the decoder of its spec, if there is one."""
        if not isinstance(self.spec, TextSpec) or self.spec.decoder is None:
            return self
        return replace(self, decoder=make_decoder(self.spec, self.spec.decoder, self.symbols, self._texts()))

    @property
    def learned(self) -> JsonValue:
        return list(self.symbols)

    def check(self, size: Size) -> None:
        """Raise BadDataError (TARGET_LONG) if a training target does not fit into its frames: CTC cannot learn it."""
        for item in self.train:
            target = _target(item)
            needed = len(target) + sum(a == b for a, b in pairwise(target))
            num_frames = max(0, (item.num_samples - WINDOW_SAMPLES) // size.hop_samples + 1)
            if needed > num_frames:
                raise BadDataError(
                    "TARGET_LONG",
                    f"the target of {item.key} needs {needed} frames for {len(target)} symbols, its audio has "
                    f"{num_frames}; in the evaluation's train part; check that text and audio belong together",
                )
        if isinstance(self.spec, TextSpec):
            check_decoder(self.spec, self.symbols, self._texts())

    def _texts(self) -> list[list[str]]:
        return [_target(item) for item in self.train]

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
            )
        return OnStates(size.num_states, frames)

    def loss(self, head: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(head, OnStates)  # noqa: S101 - made above
        frames = head.sum(batch.states)
        if not isinstance(self.spec, PhonemeRecognition) and self.spec.augment is not None:
            frames = augment(frames, batch.num_frames, self.spec.augment)
        numbers = {symbol: number for number, symbol in enumerate(self.symbols, 1)}
        targets = [[numbers[symbol] for symbol in _target(item)] for item in batch.examples]
        return ctc_loss(head.head(frames, batch.num_frames), batch.num_frames, targets)

    def predict(self, head: nn.Module, batch: Batch) -> list[JsonValue]:
        """The symbols of each utterance, by the likeliest class of each frame; with a decoder, both results."""
        logits: Tensor = head(batch.states, batch.num_frames)
        found = [[self.symbols[it - 1] for it in numbers] for numbers in ctc_greedy(logits, batch.num_frames)]
        if self.decoder is None:
            return [list[JsonValue](symbols) for symbols in found]
        words = self.decoder.decode(logits, batch.num_frames)
        return [write_both(greedy, decoded) for greedy, decoded in zip(found, words, strict=True)]

    def score(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue], *, with_intervals: bool = True
    ) -> tuple[Figure, ...]:
        speakers = [item.speaker for item in examples] if with_intervals else None
        references = [_target(item) for item in examples]
        figures = self.score_symbols(references, [read_symbols(item) for item in predictions], speakers)
        if not any(map(is_both, predictions)):
            return figures
        with_words = self.score_symbols(references, [read_symbols(item, LEXICON) for item in predictions], speakers)
        return (*figures, *(it.model_copy(update={"name": f"{it.name}{WITH_MODEL}"}) for it in with_words))


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
