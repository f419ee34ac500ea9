"""Tokens of phones: the frames between the boundaries of a timed phone, with the phones around it.

Legend: F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from wavlm.corpus.layouts import UNKNOWN_SPEAKER, Phone
from wavlm.shards import Utterance
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid

# Marks of pauses and noises in the phone sets of common aligners, in lower case. Items of the ZeroSpeech challenges
# have no such phones either. They may be contexts.
PAUSES = frozenset({"", "#", "_", "<eps>", "<sil>", "epi", "h#", "ns", "nsn", "pau", "sil", "sp", "spn"})
MAX_TOKEN_SECONDS = 1  # what is longer is a boundary that the aligner missed
MAX_GAP_SECONDS = 0.02  # between phones that follow each other: mostly one frame


class Token(NamedTuple):
    """One phone of one utterance, between the phones `before` and `after` of the same corpus."""

    utterance: int  # its number among the utterances that are measured
    start: int  # of its frames, in the utterance
    stop: int
    phone: str
    context: tuple[int, str, str]  # corpus, before, after
    speaker: str  # unique over corpora; of an unknown speaker the utterance
    is_known: bool  # the speaker


def find_tokens(utterances: Sequence[Utterance], corpora: Sequence[int], grid: FrameGrid = PAPER_FRAMES) -> list[Token]:
    """The tokens of utterances with timed phones, given the number of the corpus of each utterance."""
    return [
        token
        for number, (item, corpus) in enumerate(zip(utterances, corpora, strict=True))
        for token in _tokens_of(item, number, corpus, grid)
    ]


def _tokens_of(item: Utterance, number: int, corpus: int, grid: FrameGrid) -> Iterator[Token]:
    phones = sorted(item.phones or ())
    centres_s = grid.centres_seconds(int(grid.count(len(item.waveform))))
    edges_s = np.array([(phone.start_s, phone.end_s) for phone in phones]).reshape(-1, 2)
    edges = np.searchsorted(centres_s, edges_s)  # a frame is in the phone that holds its centre
    is_known = item.speaker not in ("", UNKNOWN_SPEAKER)
    speaker = f"{corpus}/{item.speaker}" if is_known else f"{corpus}/{number}/?"
    follows = [after.start_s - before.end_s <= MAX_GAP_SECONDS for before, after in pairwise(phones)]
    for place in range(1, len(phones) - 1):
        start, stop = (int(edge) for edge in edges[place])
        before, phone, after = (_name_of(item) for item in phones[place - 1 : place + 2])
        fits = 0 < stop - start <= MAX_TOKEN_SECONDS * grid.rate_hz
        if fits and follows[place - 1] and follows[place] and phone.lower() not in PAUSES:
            yield Token(number, start, stop, phone, (corpus, before, after), speaker, is_known)


def _name_of(phone: Phone | tuple[float, float, str]) -> str:
    return phone[2]
