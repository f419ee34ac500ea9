"""Speech translation: the characters of the text in another language, by an encoder and a decoder.

Symbols are the characters of the training translations: what dev and test have beyond them cannot be written. Frames
are taken as they are, at 50 or 100 a second; the head's convolutions keep every fourth.

Legend: B utterances, S symbols of a translation.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example
from wavlm.evaluation.heads.translation import (
    END_SYMBOL,
    NUM_SPECIAL,
    PADDING_SYMBOL,
    Translator,
    translation_loss,
)
from wavlm.evaluation.heads.weighted_sum import OnStates
from wavlm.evaluation.labelled import LabelledCorpus, Row
from wavlm.evaluation.metrics.intervals import interval_of_sums
from wavlm.evaluation.metrics.translation import bleu_of, corpus_bleu
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.results.figures import figure_of
from wavlm.evaluation.tasks.beam import write_sequences
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.specs.generation import SpeechTranslation
from wavlm.specs.heads import TranslatorHead


@dataclass(frozen=True)
class Translated(Example):
    """An example with a translation."""

    num_untranslated: int = 0  # recordings of the evaluation's corpora that are left out, since they have none


@dataclass(frozen=True)
class Translation:
    """A translation per recording."""

    spec: SpeechTranslation
    head: TranslatorHead

    @property
    def is_pooled(self) -> bool:
        return False

    def collect(self, corpora: Sequence[LabelledCorpus], noise: Sequence[LabelledCorpus] = ()) -> list[Example]:  # noqa: ARG002
        texts = [(corpus, row, self._text_of(row, corpus.name)) for corpus in corpora for row in corpus.rows]
        num_untranslated = sum(text is None for _, _, text in texts)
        return [
            Translated(
                key=f"{corpus.name}/{row.key}",
                speaker=row.speaker,
                part=row.part,
                num_samples=row.num_samples,
                audio=row.take,
                target=text,
                content=row.content,
                num_untranslated=num_untranslated,
            )
            for corpus, row, text in texts
            if text is not None
        ]

    def class_of(self, example: Example) -> str:  # noqa: ARG002
        return ""

    def for_training(self, example: Example) -> Example:
        return example

    def begin(self, train: Sequence[Example], others: Sequence[Example]) -> Interpreter:  # noqa: ARG002
        symbols = tuple(sorted({character for item in train for character in _text(item)}))
        return Interpreter(symbols, self.spec, self.head, tuple(train))

    def _text_of(self, row: Row, corpus: str) -> str | None:
        """The translation in Unicode's form NFC, so that a letter and its accent are one; None: it is left out.

        Raises BadDataError (TARGET_MISSING) if there is none, and that is not allowed.
        """
        found = row.target.get("translation")
        text = " ".join(unicodedata.normalize("NFC", found).split()) if isinstance(found, str) else ""
        if not text:
            if self.spec.untranslated == "leave_out":
                return None
            raise BadDataError(
                "TARGET_MISSING",
                f"the recording {row.key} has no translation; in the corpus {corpus}; give the corpus a layout that "
                "says it, or set untranslated: leave_out in the task",
            )
        return text.lower() if self.spec.letters == "lower" else text


@dataclass(frozen=True)
class Interpreter:
    """Translation with known symbols."""

    symbols: tuple[str, ...]  # behind the special ones
    spec: SpeechTranslation
    head: TranslatorHead
    train: tuple[Example, ...] = field(default=(), repr=False)

    def check(self, size: Size) -> None:  # noqa: ARG002
        """Raise BadDataError (TARGET_BAD) for a training translation that is longer than any that is written."""
        for item in self.train:
            if (count := len(_text(item))) > self.spec.max_symbols:
                raise BadDataError(
                    "TARGET_BAD",
                    f"the translation of {item.key} has {count} characters, at most {self.spec.max_symbols} are "
                    "written; in the evaluation's train part; raise max_symbols in the task, or leave it out",
                )

    def make_head(self, size: Size) -> nn.Module:
        translator = Translator(
            size.num_channels,
            NUM_SPECIAL + len(self.symbols),
            hidden=self.head.width,
            num_heads=self.head.heads,
            num_layers=self.head.layers,
            dropout=self.head.dropout,
        )
        return OnStates(size.num_states, translator)

    def loss(self, head: nn.Module, batch: Batch) -> Tensor:
        translator, frames = _parts(head, batch)
        numbers = {symbol: number for number, symbol in enumerate(self.symbols, NUM_SPECIAL)}
        written = [[numbers[symbol] for symbol in _text(item)] for item in batch.examples]
        before = _padded([[END_SYMBOL, *item] for item in written], frames.device)
        following = _padded([[*item, END_SYMBOL] for item in written], frames.device)
        logits = translator(frames, batch.num_frames, before)
        return translation_loss(logits, following, smoothing=self.spec.smoothing)

    def predict(self, head: nn.Module, batch: Batch) -> list[JsonValue]:
        """The text of each utterance, and whether it was cut."""
        translator, frames = _parts(head, batch)
        found = write_sequences(translator, frames, batch.num_frames, self.spec.beam, self.spec.max_symbols)
        return [
            {"text": "".join(self.symbols[number - NUM_SPECIAL] for number in item.symbols), "is_cut": item.is_cut}
            for item in found
        ]

    def score(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue], *, with_intervals: bool = True
    ) -> tuple[Figure, ...]:
        """BLEU of the whole set, with sacreBLEU's signature."""
        written = [item for item in predictions if isinstance(item, dict)]
        bleu = corpus_bleu([_text(item) for item in examples], [str(item["text"]) for item in written])
        notes = [bleu.signature]
        if num_cut := sum(bool(item["is_cut"]) for item in written):
            notes.append(f"{num_cut} of {len(written)} were cut at {self.spec.max_symbols} characters")
        if left_out := examples[0].num_untranslated if isinstance(examples[0], Translated) else 0:
            notes.append(f"{left_out} recordings of the corpora have no translation and are left out")
        interval = None
        if with_intervals and len(written) > 1:
            interval = interval_of_sums(bleu.sums, [item.speaker for item in examples], bleu_of)
        return (figure_of("bleu", bleu.score, interval, note="; ".join(notes)),)


def _parts(head: nn.Module, batch: Batch) -> tuple[Translator, Tensor]:
    """The network behind the weighted sum, and what it takes: (B, F, D)."""
    assert isinstance(head, OnStates)  # noqa: S101 - made above
    assert isinstance(head.head, Translator)  # noqa: S101 - made above
    return head.head, head.sum(batch.states)


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """(B, S), the longest of S."""
    return nn.utils.rnn.pad_sequence(
        [torch.tensor(row, device=device) for row in rows], batch_first=True, padding_value=PADDING_SYMBOL
    )


def _text(example: Example) -> str:
    assert isinstance(example.target, str)  # noqa: S101 - made above
    return example.target
