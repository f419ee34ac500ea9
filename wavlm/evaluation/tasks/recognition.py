"""Tasks that write a sequence, by CTC: phonemes, letters, and letters with marks around slot values.

Symbols are those of the training targets; what dev and test have beyond them cannot be written and counts as errors.
Where the task has an alphabet, all texts have to keep to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example
from wavlm.evaluation.labelled import LabelledCorpus, Row
from wavlm.evaluation.metrics.words import count_edits, split_words
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.results.figures import rate_of_edits
from wavlm.evaluation.tasks.letters import change_case, find_text, split_text
from wavlm.evaluation.tasks.recogniser import CtcHeads, Recogniser, RecogniserSpec, Transcribed, find_symbols
from wavlm.evaluation.tasks.slots import mark_slots, score_slots
from wavlm.specs.tasks import OtherRecognition, PhonemeRecognition, SlotFilling, WritesTexts


@dataclass(frozen=True)
class Recognition:
    """A sequence of symbols per recording."""

    spec: RecogniserSpec
    head: CtcHeads

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
        symbols = find_symbols(self.spec, self.head, train)
        return Recogniser(self.spec, symbols, self.head, self._score, tuple(train))

    def recall(self, learned: JsonValue) -> Recogniser:
        assert isinstance(learned, list)  # noqa: S101 - a recogniser's own
        return Recogniser(self.spec, tuple(map(str, learned)), self.head, self._score)

    def _symbols_of(self, row: Row, corpus: str) -> Sequence[str] | None:
        """The target of a recording; None: it is left out. Raises BadDataError: TARGET_MISSING, TARGET_BAD if empty."""
        if isinstance(self.spec, PhonemeRecognition):
            symbols = [phone for phone in _phones_of(row, corpus) if phone not in self.spec.drop]
        elif isinstance(self.spec, SlotFilling):
            symbols = mark_slots(change_case(find_text(row, corpus), self.spec.letters), row, corpus, self.spec.letters)
        else:
            symbols = split_text(self.spec, find_text(row, corpus))
            if not symbols and isinstance(self.spec, OtherRecognition) and self.spec.normalize_as != "none":
                return None
            self._check_alphabet(symbols, row, corpus)
        if not symbols:
            raise BadDataError(
                "TARGET_BAD",
                f"the target of {row.key} is empty, expected what is said; in the corpus {corpus}{_at(row)}; correct "
                "its text or leave the recording out",
            )
        return symbols

    def _check_alphabet(self, symbols: Sequence[str], row: Row, corpus: str) -> None:
        alphabet = self.spec.alphabet if isinstance(self.spec, WritesTexts) else ""
        if alphabet and (unknown := sorted(set(symbols).difference(alphabet))):
            raise BadDataError(
                "TARGET_LETTER",
                f"the text of {row.key} has {' '.join(map(repr, unknown))}, expected letters of the alphabet "
                f"{alphabet!r}; in the corpus {corpus}{_at(row)}; correct the text, or change `letters`, `drop` or "
                "`alphabet`",
            )

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


def _at(row: Row) -> str:
    return f", at {row.place}" if row.place else ""
