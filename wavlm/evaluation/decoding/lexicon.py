"""Beam search over the words of a lexicon with an n-gram language model: flashlight-text, which brings KenLM.

Legend: B utterances, F frames, C classes with the blank as number 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from wavlm.errors import BadDataError
from wavlm.evaluation.decoding.language_model import LanguageModel, unreadable
from wavlm.evaluation.heads.ctc import BLANK
from wavlm.evaluation.heads.padding import valid_frames
from wavlm.evaluation.metrics.libraries import load_scorer
from wavlm.specs.decoders import LexiconDecoderSpec

SPACE = " "
IMPOSSIBLE = -1e4  # far below any logarithm of a softmax in float32
UNKNOWN = "<unk>"
Spell = Callable[[str], Sequence[str]]  # the symbols of a word, as the task writes it
Spellings = Mapping[str, Sequence[str]]  # by word


class LexiconDecoder:
    """Finds the best sequence of words for the classes of each frame.

    The end of an utterance ends a word: a frame that holds nothing but a space is put behind the last one. All
    hypotheses pay the same for it.
    """

    def __init__(
        self, spec: LexiconDecoderSpec, model: LanguageModel, symbols: Sequence[str], spellings: Spellings
    ) -> None:
        """symbols: those of the classes from number 1 on. spellings: from `spell_words`. Raises LM_UNREADABLE."""
        text = load_scorer("flashlight.lib.text.decoder")
        listed = load_scorer("flashlight.lib.text.dictionary").Dictionary()
        for word in (*spellings, UNKNOWN):
            listed.add_entry(word)
        numbers = {symbol: number for number, symbol in enumerate(symbols, 1)}
        self._space, self._spellings = numbers[SPACE], tuple(spellings.values())
        scored, trie = _load(model, listed), text.Trie(len(symbols) + 1, self._space)
        begin = scored.start(False)  # noqa: FBT003 - a binding takes no names
        for number, spelling in enumerate(self._spellings):
            path = [numbers[symbol] for symbol in (*spelling, SPACE)]
            trie.insert(path, number, scored.score(begin, number)[1])
        trie.smear(text.SmearingMode.MAX)
        options = text.LexiconDecoderOptions(
            beam_size=spec.beam,
            beam_size_token=len(symbols) + 1,
            beam_threshold=spec.beam_threshold,
            lm_weight=spec.lm_weight,
            word_score=spec.word_score,
            unk_score=-math.inf,
            sil_score=0.0,
            log_add=False,
            criterion_type=text.CriterionType.CTC,
        )
        unknown = listed.get_index(UNKNOWN)
        silence = self._space
        self._decoder = text.LexiconDecoder(options, trie, scored, silence, BLANK, unknown, [], False)  # noqa: FBT003
        self._kept = (listed, scored, trie)  # the decoder only points at them

    def decode(self, logits: Tensor, lengths: Tensor) -> list[list[str]]:
        """The symbols of each utterance, with a space between words: (B, F, C) to B lists."""
        valid_frames(lengths, logits.shape[1])
        rows = functional.log_softmax(logits.float(), dim=-1).cpu()
        return [self._decode_one(row[:length]) for row, length in zip(rows, lengths.tolist(), strict=True)]

    def _decode_one(self, frames: Tensor) -> list[str]:
        last = torch.full((1, frames.shape[1]), IMPOSSIBLE)
        last[0, self._space] = 0.0
        padded = torch.cat([frames, last]).contiguous()
        found = self._decoder.decode(padded.data_ptr(), *padded.shape)[0].words
        spelled = [self._spellings[number] for number in found if number >= 0]
        return [symbol for place, word in enumerate(spelled) for symbol in ((SPACE, *word) if place else word)]


def spell_words(model: LanguageModel, symbols: Sequence[str], spell: Spell) -> Spellings:
    """The words of a language model that the symbols can write, with their spellings.

    Raises BadDataError (LM_MISFIT) where no space is among the symbols, or no word can be written.
    """
    known = frozenset(symbols)
    if SPACE not in known:
        raise BadDataError(
            "LM_MISFIT",
            "the training texts have no space, so nothing separates words; in the task of the evaluation; leave "
            "`decoder` out",
        )
    spelled = {word: tuple(spell(word)) for word in model.words}
    found = {word: spelling for word, spelling in spelled.items() if spelling and known.issuperset(spelling)}
    if not found:
        some, letters = ", ".join(model.words[:3]), "".join(sorted(known))
        raise BadDataError(
            "LM_MISFIT",
            f"none of the {len(model.words)} words of the language model ({some}) can be written by the letters of the "
            f"training texts ({letters}); at {model.path}; set `letters` to the case of the language model, or use "
            "another one",
        )
    return found


def _load(model: LanguageModel, listed: Any) -> Any:
    kenlm = load_scorer("flashlight.lib.text.decoder.kenlm")
    try:
        return kenlm.KenLM(str(model.path), listed)
    except RuntimeError as error:  # what C++ throws
        raise unreadable(model.path, str(error).strip().splitlines()[-1]) from error
