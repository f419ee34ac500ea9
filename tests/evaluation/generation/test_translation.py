"""Translation: the search against all sequences there are, a made-up language, and what is refused or left out."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluation.core.made import MadeFeatures
from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.fit.head import Sets, fit_head, predict
from wavlm.evaluation.heads.translation import END_SYMBOL, NUM_SPECIAL, Translator, encoded_lengths
from wavlm.evaluation.labelled import LabelledCorpus, Row
from wavlm.evaluation.tasks.beam import write_sequences
from wavlm.evaluation.tasks.task import Size
from wavlm.evaluation.tasks.translation import Translation
from wavlm.specs.base import FieldError
from wavlm.specs.evaluation import FitSpec
from wavlm.specs.generation import SpeechTranslation
from wavlm.specs.heads import TranslatorHead

HEAD = TranslatorHead(type="translator", width=32, layers=1, heads=2, dropout=0.0)
SIZE = Size(num_states=2, num_channels=6, hop_samples=320)
NUM_SYMBOLS = NUM_SPECIAL + 2
MOST = 4


def translator_of(seed: int) -> tuple[Translator, torch.Tensor, torch.Tensor]:
    """Random weights, in which the end is neither sure nor impossible, and two utterances."""
    torch.manual_seed(seed)
    translator = Translator(3, NUM_SYMBOLS, hidden=8, num_heads=2, num_layers=1, dropout=0.0).eval()
    torch.nn.init.normal_(translator.output.weight, std=1.0)
    return translator, torch.randn(2, 14, 3), torch.tensor([14, 9])


def log_probability(translator: Translator, frames: torch.Tensor, symbols: list[int]) -> float:
    """Of a whole sequence, symbol after symbol, of those that may be written."""
    allowed = [END_SYMBOL, *range(NUM_SPECIAL, NUM_SYMBOLS)]
    total = 0.0
    for place, symbol in enumerate(symbols):
        before = torch.tensor([[END_SYMBOL, *symbols[:place]]])
        logits = translator(frames, torch.tensor([frames.shape[1]]), before)[0, -1]
        total += float(torch.log_softmax(logits[allowed], 0)[allowed.index(symbol)])
    return total


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_search_that_keeps_everything_finds_the_best_of_all_sequences(seed: int) -> None:
    translator, frames, lengths = translator_of(seed)
    letters = range(NUM_SPECIAL, NUM_SYMBOLS)
    with torch.inference_mode():
        found = write_sequences(translator, frames, lengths, 40, MOST)
        for number, length in enumerate(lengths.tolist()):
            one = frames[number : number + 1, :length]
            every = [[*item, END_SYMBOL] for count in range(MOST) for item in product(letters, repeat=count)]
            best = max(every, key=lambda item: log_probability(translator, one, item) / len(item))
            assert [*found[number].symbols, END_SYMBOL] == best
            assert not found[number].is_cut


def test_one_hypothesis_is_the_likeliest_symbol_each_time_and_says_if_it_was_cut() -> None:
    translator, frames, lengths = translator_of(1)
    with torch.inference_mode():
        found = write_sequences(translator, frames, lengths, 1, 6)
        encoded = translator.encode(frames, lengths)
        for number in range(2):
            symbols = [END_SYMBOL]
            while len(symbols) <= 6:
                rows = slice(number, number + 1)
                logits = translator.decode(encoded[rows], encoded_lengths(lengths)[rows], torch.tensor([symbols]))[
                    0, -1
                ]
                logits[[0, 1, 3]] = -torch.inf  # no symbols of text
                symbols.append(int(logits.argmax()))
                if symbols[-1] == END_SYMBOL:
                    break
            assert found[number].is_cut == (symbols[-1] != END_SYMBOL)
            assert found[number].symbols == [symbol for symbol in symbols if symbol != END_SYMBOL]
        translator.output.weight[END_SYMBOL] = 0
        assert any(item.is_cut for item in write_sequences(translator, frames, lengths, 1, 3))


def test_a_search_of_one_utterance_is_that_of_a_batch() -> None:
    translator, frames, lengths = translator_of(2)
    with torch.inference_mode():
        together = write_sequences(translator, frames, lengths, 3, 8)
        alone = [write_sequences(translator, frames[n : n + 1, :count], lengths[n : n + 1], 3, 8)[0]
                 for n, count in enumerate(lengths.tolist())]  # fmt: skip
    assert together == alone


def spoken(count: int) -> tuple[list[Example], MadeFeatures]:
    """Each letter is a channel of state 1 for eight frames; its translation is a word."""
    rng, words = np.random.default_rng(0), ("bo", "ce", "du")
    examples, values = [], {}
    for number in range(count):
        letters = rng.integers(0, 3, size=5)
        frames = rng.normal(size=(2, 8 * len(letters), 6)).astype(np.float32)
        frames[1] = 4 * np.eye(6, dtype=np.float32)[np.repeat(letters, 8)]
        text = " ".join(words[letter] for letter in letters)
        examples.append(Example(f"u{number}", f"s{number % 3}", "", 12800, Take(0, number), text))
        values[f"u{number}"] = frames
    return examples, MadeFeatures(values)


def test_a_made_up_language_is_translated(tmp_path: Path) -> None:
    examples, features = spoken(60)
    task = Translation(SpeechTranslation(type="st", beam=2, max_symbols=20), HEAD)
    trainee = task.begin(examples[:50], examples[50:])
    fit = FitSpec(learning_rates=(3e-3,), updates=250, batch=16, dev_every=250)
    sets = Sets(examples[:50], examples[50:], features, SIZE)
    fitted = fit_head(trainee, sets, fit, 3e-3, 0, tmp_path / "fit")
    found = predict(trainee, fitted.head, examples[50:], features, "cpu")
    (figure,) = trainee.score(examples[50:], found)
    assert figure.name == "bleu"
    assert figure.value > 60
    assert figure.interval is not None
    assert "tok:13a" in figure.note


def test_the_figure_says_what_was_cut_and_left_out() -> None:
    corpus = LabelledCorpus("c", Path(), Path(), 0)
    texts = ["a B", None, "  c\u0301  d ", ""]
    vars(corpus)["rows"] = tuple(
        Row(f"r{n}", "s", "", None, None, {} if text is None else {"translation": text}, 16000, Take(0, n))
        for n, text in enumerate(texts)
    )
    task = Translation(SpeechTranslation(type="st", untranslated="leave_out", max_symbols=3), HEAD)
    examples = task.collect([corpus])
    assert [item.target for item in examples] == ["a B", "\u0107 d"]
    trainee = task.begin(examples, [])
    (figure,) = trainee.score(examples, [{"text": "a B", "is_cut": True}, {"text": "\u0107 d", "is_cut": False}])
    assert figure.note.endswith(
        "1 of 2 were cut at 3 characters; 2 recordings of the corpora have no translation and are left out"
    )
    with pytest.raises(BadDataError, match="TARGET_MISSING: the recording r1 has no translation"):
        Translation(SpeechTranslation(type="st"), HEAD).collect([corpus])
    short = Translation(SpeechTranslation(type="st", untranslated="leave_out", max_symbols=2), HEAD)
    with pytest.raises(BadDataError, match="TARGET_BAD: the translation of c/r0 has 3 characters, at most 2"):
        short.begin(examples, []).check(SIZE)
    lower = Translation(SpeechTranslation(type="st", untranslated="leave_out", letters="lower"), HEAD)
    assert lower.collect([corpus])[0].target == "a b"


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises((FieldError, ValueError), match="3 heads do not divide the width 32"):
        TranslatorHead(type="translator", width=32, heads=3)
