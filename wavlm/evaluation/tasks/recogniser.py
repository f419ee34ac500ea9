"""Recognition with known symbols: its heads, its loss and its results, greedy or with a language model.

Legend: B utterances, S states, F frames, D channels, C classes with the blank as number 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from pydantic import JsonValue
from torch import Tensor, nn

from wavlm.errors import BadDataError
from wavlm.evaluation.decoding.lexicon import SPACE, LexiconDecoder
from wavlm.evaluation.decoding.predictions import LEXICON, WITH_MODEL, is_both, read_symbols, write_both
from wavlm.evaluation.examples import Example
from wavlm.evaluation.heads.blstm import Blstm
from wavlm.evaluation.heads.ctc import LastState, ctc_greedy, ctc_loss
from wavlm.evaluation.heads.frame_linear import FrameLinear
from wavlm.evaluation.heads.spec_augment import augment
from wavlm.evaluation.heads.weighted_sum import OnStates
from wavlm.evaluation.metrics.words import split_words
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.tasks.letters import check_decoder, make_decoder
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.specs.frames import PAPER_FRAMES
from wavlm.specs.heads import BlstmHead, CtcHead, FrameLinearHead
from wavlm.specs.tasks import OtherRecognition, PhonemeRecognition, SlotFilling, SpeechRecognition, WritesTexts

RecogniserSpec = PhonemeRecognition | SpeechRecognition | OtherRecognition | SlotFilling
CtcHeads = FrameLinearHead | BlstmHead | CtcHead
Score = Callable[[Sequence[Sequence[str]], Sequence[Sequence[str]], Sequence[str] | None], tuple[Figure, ...]]


@dataclass(frozen=True)
class Transcribed(Example):
    """An example with symbols."""

    num_foreign: int = 0  # recordings of the evaluation's corpora that are left out, since their text is of another one


@dataclass(frozen=True)
class Recogniser:
    """Recognition with known symbols."""

    spec: RecogniserSpec
    symbols: tuple[str, ...]  # without the blank
    head: CtcHeads
    score_symbols: Score
    train: tuple[Example, ...] = field(default=(), repr=False)
    decoder: LexiconDecoder | None = field(default=None, repr=False)  # of the test part

    @property
    def learned(self) -> JsonValue:
        return list(self.symbols)

    def for_test(self) -> Recogniser:
        """The same with the decoder of its spec, if there is one."""
        if not isinstance(self.spec, WritesTexts) or self.spec.decoder is None:
            return self
        return replace(self, decoder=make_decoder(self.spec, self.spec.decoder, self.symbols, self._texts()))

    def check(self, size: Size) -> None:
        """Raise BadDataError (TARGET_LONG) if a training target does not fit into its frames: CTC cannot learn it.

        LM_MISFIT and others for a decoder that does not fit the task.
        """
        hop_samples = size.hop_samples * self._step(size)
        for item in self.train:
            symbols = self._taught(item)
            needed = len(symbols) + sum(a == b for a, b in pairwise(symbols))
            num_frames = max(0, (item.num_samples - PAPER_FRAMES.window_samples) // hop_samples + 1)
            if needed > num_frames:
                raise BadDataError(
                    "TARGET_LONG",
                    f"the target of {item.key} needs {needed} frames for {len(symbols)} symbols, its audio has "
                    f"{num_frames}; in the evaluation's train part; check that text and audio belong together",
                )
        if isinstance(self.spec, WritesTexts):
            check_decoder(self.spec, self.symbols, self._texts())

    def make_head(self, size: Size) -> nn.Module:
        num_classes = len(self.symbols) + 1
        if isinstance(self.head, CtcHead):
            return LastState(size.num_channels, num_classes, self.head.dropout)
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
        numbers = {symbol: number for number, symbol in enumerate(self.symbols, 1)}
        transcripts = [[numbers[symbol] for symbol in self._taught(item)] for item in batch.examples]
        if isinstance(head, OnStates):
            frames = head.sum(batch.states)
            if not isinstance(self.spec, PhonemeRecognition) and self.spec.augment is not None:
                frames = augment(frames, batch.num_frames, self.spec.augment)
            return ctc_loss(head.on_sum(frames, batch.num_frames), head.count(batch.num_frames), transcripts)
        return ctc_loss(head(batch.states, batch.num_frames), batch.num_frames, transcripts, per_symbol=False)

    def predict(self, head: nn.Module, batch: Batch) -> list[JsonValue]:
        """The symbols of each utterance, by the likeliest class of each frame; with a decoder, both results."""
        logits: Tensor = head(batch.states, batch.num_frames)
        counts = head.count(batch.num_frames) if isinstance(head, OnStates) else batch.num_frames
        found = [self._write(numbers) for numbers in ctc_greedy(logits, counts)]
        if self.decoder is None:
            return [list[JsonValue](symbols) for symbols in found]
        words = self.decoder.decode(logits, counts)
        return [write_both(greedy, decoded) for greedy, decoded in zip(found, words, strict=True)]

    def score(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue], *, with_intervals: bool = True
    ) -> tuple[Figure, ...]:
        found = self._score_all(examples, predictions, with_intervals=with_intervals)
        if with_intervals:
            found = (*found, *self._score_parts(examples, predictions))
        num_foreign = examples[0].num_foreign if isinstance(examples[0], Transcribed) else 0
        if not num_foreign:
            return found
        note = f"{num_foreign} recordings of the corpora have a text of other letters and are left out"
        return tuple(figure.model_copy(update={"note": note}) for figure in found)

    def _score_all(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue], *, with_intervals: bool
    ) -> tuple[Figure, ...]:
        speakers = [item.speaker for item in examples] if with_intervals else None
        references = [target_of(item) for item in examples]
        figures = self.score_symbols(references, [read_symbols(item) for item in predictions], speakers)
        if not any(map(is_both, predictions)):
            return figures
        with_words = self.score_symbols(references, [read_symbols(item, LEXICON) for item in predictions], speakers)
        return (*figures, *(it.model_copy(update={"name": f"{it.name}{WITH_MODEL}"}) for it in with_words))

    def _score_parts(self, examples: Sequence[Example], predictions: Sequence[JsonValue]) -> Iterator[Figure]:
        """The figures of each of the publisher's parts, where several are tested: `wer_test-other`."""
        parts = sorted({item.part for item in examples})
        for part in parts if len(parts) > 1 and isinstance(self.spec, WritesTexts) else ():
            both = [pair for pair in zip(examples, predictions, strict=True) if pair[0].part == part]
            own, found = [example for example, _ in both], [prediction for _, prediction in both]
            for figure in self._score_all(own, found, with_intervals=True):
                yield figure.model_copy(update={"name": f"{figure.name}_{part or 'rest'}"})

    def _step(self, size: Size) -> int:
        """Of so many frames the first is taken."""
        is_thinned = isinstance(self.spec, OtherRecognition) and self.spec.every_20_ms
        return size.frames_per_hop("frames every 20 ms") if is_thinned else 1

    def _texts(self) -> list[list[str]]:
        return [target_of(item) for item in self.train]

    def _taught(self, example: Example) -> list[str]:
        """The symbols that a head is trained to write."""
        return [*target_of(example), SPACE] if closes_words(self.head) else target_of(example)

    def _write(self, numbers: Sequence[int]) -> list[str]:
        symbols = [self.symbols[number - 1] for number in numbers]
        return list(SPACE.join(split_words("".join(symbols)))) if closes_words(self.head) else symbols


def find_symbols(spec: RecogniserSpec, head: CtcHeads, train: Sequence[Example]) -> tuple[str, ...]:
    """The symbols of a task, in the order of the head's classes: its alphabet, or those of the training targets."""
    closing = {SPACE} if closes_words(head) else set()
    if isinstance(spec, WritesTexts) and spec.alphabet:
        return (*spec.alphabet, *closing.difference(spec.alphabet))
    return tuple(sorted({symbol for item in train for symbol in target_of(item)} | closing))


def closes_words(head: CtcHeads) -> bool:
    """Whether a space stands behind the last word that a head is trained on."""
    return isinstance(head, CtcHead) and head.closes_words


def target_of(example: Example) -> list[str]:
    """The symbols of an example's target."""
    assert isinstance(example.target, list)  # noqa: S101 - made by `Recognition.collect`
    return [str(symbol) for symbol in example.target]
