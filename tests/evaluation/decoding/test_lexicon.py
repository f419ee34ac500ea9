"""Decoding with a lexicon and a language model: cases worked by hand, all sentences by brute force, and refusals."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from tests.evaluation.decoding.arpa import BIGRAMS, write_bigrams
from wavlm.errors import BadDataError, CodedError
from wavlm.evaluation.decoding.language_model import LanguageModel, open_model
from wavlm.evaluation.decoding.lexicon import LexiconDecoder, spell_words
from wavlm.specs.decoders import ArpaModel, LexiconDecoderSpec

SYMBOLS = tuple(" acstu")
LOGARITHMS = {  # base 10, from the file
    ("<s>", "cat"): -0.1,
    ("<s>", "cut"): -2.5,
    ("cat", "sat"): -0.2,
    ("sat", "</s>"): -0.2,
    "cat": -0.7,
    "cut": -0.7,
    "sat": -1.0,
    "</s>": -1.0,
}
BACKOFF = -0.3


def decoder_of(folder: Path, lm_weight: float = 2.0, word_score: float = -1.0) -> LexiconDecoder:
    model = ArpaModel(type="arpa", path=str(write_bigrams(folder)))
    spec = LexiconDecoderSpec(type="lexicon", language_model=model, lm_weight=lm_weight, word_score=word_score)
    with open_model(model, ()) as found:
        return LexiconDecoder(spec, found, SYMBOLS, spell_words(found, SYMBOLS, str.lower))


def frames_of(text: str, doubts: dict[int, str]) -> torch.Tensor:
    """Logits (1, F, C) in which each character has a frame, twice as likely as its doubt; `_` is the blank."""
    logits = torch.full((1, len(text), len(SYMBOLS) + 1), -9.0)
    for frame, character in enumerate(text):
        for rank, one in enumerate((character, doubts.get(frame, character))):
            number = SYMBOLS.index(one) + 1 if one != "_" else 0
            logits[0, frame, number] = max(float(logits[0, frame, number]), -rank * math.log(2.0))
    return logits


def decode(decoder: LexiconDecoder, logits: torch.Tensor) -> str:
    return "".join(decoder.decode(logits, torch.tensor([logits.shape[1]]))[0])


def test_the_language_model_changes_the_answer_where_its_odds_are_the_better_ones(tmp_path: Path) -> None:
    """The network is for CUT by ln 2 = 0.69. The language model is for CAT by 2.4 after the beginning, to the base 10,
    and for none at the end. The weight 0.2 makes 0.48 of it."""
    logits = frames_of("_ccu_tt_", {3: "a"})
    logits[0, 3, SYMBOLS.index("a") + 1] = -math.log(2.0)
    assert decode(decoder_of(tmp_path), logits) == "cat"
    assert decode(decoder_of(tmp_path, lm_weight=0.2), logits) == "cut"


def test_a_word_that_the_lexicon_lacks_cannot_be_written(tmp_path: Path) -> None:
    """`tat` is heard without doubt, and no word; the nearest word has one letter that is heard as another one."""
    assert decode(decoder_of(tmp_path), frames_of("_tat_", {})) in ("cat", "sat")


def test_frames_without_words_have_none(tmp_path: Path) -> None:
    assert decode(decoder_of(tmp_path), frames_of("____", {})) == ""


def log_probability(words: Sequence[str]) -> float:
    """Of a sentence, to the base 10, by the rule of back-off models."""
    total = 0.0
    for pair in itertools.pairwise(("<s>", *words, "</s>")):
        total += LOGARITHMS[pair] if pair in LOGARITHMS else BACKOFF + LOGARITHMS[pair[1]]
    return total


def spaced(words: Sequence[str]) -> list[str]:
    """The sentence with other numbers of spaces."""
    spaces = (" ", "  ")
    return [
        before + between.join(words) + after
        for before in ("", *spaces)
        for between in (spaces if len(words) > 1 else " ")
        for after in ("", *spaces)
    ]


def best_alignment(log_probabilities: torch.Tensor, text: str) -> float:
    """The likeliest path of a text through the frames, by CTC's rules, with Viterbi's recursion."""
    states = [0, *(number for character in text for number in (SYMBOLS.index(character) + 1, 0))]
    scores = [0.0] + [-math.inf] * (len(states) - 1)
    for time, frame in enumerate(log_probabilities.tolist()):
        before = scores if time else [0.0, 0.0] + [-math.inf] * (len(states) - 2)
        scores = []
        for place, state in enumerate(states):
            steps = [before[place]]
            if time:
                steps += before[max(0, place - 1) : place]
                steps += before[place - 2 : place - 1] if place > 1 and state not in (0, states[place - 2]) else []
            scores.append(max(steps) + frame[state])
    return max(scores[-2:])


def test_it_finds_what_a_search_through_all_sentences_finds(tmp_path: Path) -> None:
    """Sentences of up to two words, each scored by its best path, its language model and its number of words.

    Spaces may be written more than once between words, and around them.
    """
    decoder = decoder_of(tmp_path)
    generator = torch.Generator().manual_seed(0)
    words = ("cat", "cut", "sat")
    sentences = [item for count in (1, 2) for item in itertools.product(words, repeat=count)]
    for _ in range(6):
        logits = 3.0 * torch.randn(1, 11, len(SYMBOLS) + 1, generator=generator)
        frames = functional.log_softmax(logits[0], dim=-1)
        scores = {
            sentence: max(best_alignment(frames, text) for text in spaced(sentence))
            + 2.0 * log_probability(sentence)
            - len(sentence)
            for sentence in sentences
        }
        assert decode(decoder, logits) == " ".join(max(scores, key=lambda item: scores[item]))


def test_a_packed_file_gives_the_same_words(tmp_path: Path) -> None:
    path = tmp_path / "three.arpa.gz"
    path.write_bytes(gzip.compress(BIGRAMS.encode()))
    with open_model(ArpaModel(type="arpa", path=str(path)), ()) as found:
        assert found.words == ("CAT", "CUT", "SAT")


def refuse_words(folder: Path, text: str | bytes, **fields: str) -> None:
    path = folder / "model"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with open_model(ArpaModel(type="arpa", path=str(path), **fields), ()):  # type: ignore[arg-type]
        pass


@pytest.mark.parametrize(
    ("text", "fields", "code", "what"),
    [
        (BIGRAMS.replace("-0.7\tCAT", "CAT"), {}, "LM_UNREADABLE", "line 9 is no 1-gram"),
        ("\\data\\\n\\end\\\n", {}, "LM_UNREADABLE", "no section"),
        ("once upon a time\n", {}, "LM_UNREADABLE", "it begins with 'once"),
        (gzip.compress(BIGRAMS.encode(), mtime=0)[:60], {}, "LM_UNREADABLE", "end-of-stream"),
        (b"mmap lm http://kheafield.com/code format version 5\n\0", {}, "LM_UNREADABLE", "does not list its words"),
        (BIGRAMS, {"sha256": "0" * 64}, "LM_CHANGED", hashlib.sha256(BIGRAMS.encode()).hexdigest()),
    ],
    ids=["a line", "no section", "a text", "cut gzip", "binary", "changed"],
)
def test_what_is_no_language_model_is_refused(tmp_path: Path, text, fields, code, what) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadDataError, match=what) as caught:
        refuse_words(tmp_path, text, **fields)
    assert caught.value.code == code


def test_a_bigram_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.arpa"
    path.write_text(BIGRAMS.replace("-2.5\t<s> CUT", "-2.5\t<s> GOAT"))
    spec = LexiconDecoderSpec(type="lexicon", language_model=ArpaModel(type="arpa", path=str(path)))
    with open_model(spec.language_model, ()) as found, pytest.raises(BadDataError, match="LM_UNREADABLE"):
        LexiconDecoder(spec, found, SYMBOLS, spell_words(found, SYMBOLS, str.lower))


def test_a_missing_language_model_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with (
        pytest.raises(CodedError, match=r"LM_MISSING: .*nowhere\.arpa"),
        open_model(ArpaModel(type="arpa", path=str(tmp_path / "nowhere.arpa")), ()),
    ):
        pass


@pytest.mark.parametrize(("symbols", "why"), [(" acstu", "none of the 3 words"), ("ACSTU", "no space")])
def test_an_alphabet_that_cannot_write_the_words_is_refused(tmp_path: Path, symbols: str, why: str) -> None:
    model = LanguageModel(tmp_path, ("CAT", "CUT", "SAT"))
    with pytest.raises(BadDataError, match=f"LM_MISFIT: .*{why}"):
        spell_words(model, symbols, str)
