"""Texts as tasks of recognition write them, and the decoder that finds words in what a head writes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from wavlm.errors import BadDataError
from wavlm.evaluation.decoding.language_model import LanguageModel, open_model
from wavlm.evaluation.decoding.lexicon import LexiconDecoder, Spellings, spell_words
from wavlm.evaluation.labelled import Row
from wavlm.evaluation.metrics.libraries import load_scorer
from wavlm.evaluation.metrics.words import split_characters, split_words
from wavlm.evaluation.tasks.texts import normalize_text
from wavlm.specs.decoders import LexiconDecoderSpec
from wavlm.specs.tasks import OtherRecognition, WritesTexts

SPACE = " "


def find_text(row: Row, corpus: str) -> str:
    """The text in Unicode's form NFC, so that a letter and its accent are one character.

    Raises BadDataError (TARGET_MISSING) if there is none.
    """
    text = row.target.get("text", row.text)
    if not isinstance(text, str):
        raise BadDataError(
            "TARGET_MISSING", f"the text of {row.key} is not known; in the corpus {corpus}; give it transcripts"
        )
    return unicodedata.normalize("NFC", text)


def change_case(text: str, letters: str) -> str:
    """The text in the case that a spec asks for."""
    return {"as_written": text, "lower": text.lower(), "upper": text.upper()}[letters]


def split_text(spec: WritesTexts, text: str) -> list[str]:
    """The symbols of a text, with one space between words; none if the rules of SUPERB-SG leave it out."""
    if isinstance(spec, OtherRecognition) and spec.normalize_as != "none":
        return split_characters(normalize_text(text, spec.normalize_as), keep_spaces=True)
    kept = "".join(character for character in change_case(text, spec.letters) if character not in spec.drop)
    return split_characters(SPACE.join(kept.split()), keep_spaces=True)


def check_decoder(spec: WritesTexts, symbols: Sequence[str], train: Sequence[Sequence[str]]) -> None:
    """Raise what `make_decoder` would, without the work of loading a language model."""
    if spec.decoder is not None:
        load_scorer("flashlight.lib.text.decoder.kenlm")
        with open_model(spec.decoder.language_model, _sentences(train)) as model:
            _spell(spec, model, symbols)


def make_decoder(
    spec: WritesTexts, decoder: LexiconDecoderSpec, symbols: Sequence[str], train: Sequence[Sequence[str]]
) -> LexiconDecoder:
    """The decoder of a task. train: the symbols of each training text.

    Raises as `open_model`, `spell_words` and `LexiconDecoder`.
    """
    with open_model(decoder.language_model, _sentences(train)) as model:
        return LexiconDecoder(decoder, model, symbols, _spell(spec, model, symbols))


def _spell(spec: WritesTexts, model: LanguageModel, symbols: Sequence[str]) -> Spellings:
    return spell_words(model, symbols, lambda word: split_text(spec, unicodedata.normalize("NFC", word)))


def _sentences(train: Sequence[Sequence[str]]) -> list[list[str]]:
    return [split_words("".join(symbols)) for symbols in train]
