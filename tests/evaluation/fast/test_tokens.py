"""Tokens: the frames between the boundaries of a phone, and what is left out."""

from __future__ import annotations

import numpy as np

from wavlm.corpus.layouts import Phone
from wavlm.evaluation.fast.tokens import Token, find_tokens
from wavlm.shards import Utterance


def spoken(*phones: tuple[float, float, str], speaker: str = "anna") -> Utterance:
    waveform = np.zeros(4 * 16000, np.float32)
    return Utterance("key", speaker, "valid", waveform, None, tuple(Phone(*item) for item in phones), ())


def test_a_token_has_the_frames_whose_centres_lie_in_the_phone() -> None:
    """Frame t is centred on sample 320 t + 200: at 0.0125, 0.0325, 0.0525, ... s."""
    item = spoken((0.0, 0.05, "k"), (0.05, 0.1125, "a"), (0.1125, 0.13, "m"), (0.13, 0.2, "o"), (0.2, 0.3, "sil"))
    assert find_tokens([item], [3]) == [
        Token(0, 2, 5, "a", (3, "k", "m"), "3/anna", is_known=True),  # 0.0525, 0.0725, 0.0925; 0.1125 is in m
        Token(0, 5, 6, "m", (3, "a", "o"), "3/anna", is_known=True),
        Token(0, 6, 10, "o", (3, "m", "sil"), "3/anna", is_known=True),
    ]


def test_pauses_gaps_and_phones_of_no_frame_or_of_a_second_are_no_tokens() -> None:
    item = spoken(
        (0.0, 0.1, "k"), (0.1, 0.2, "SIL"), (0.2, 0.3, "a"), (0.35, 0.4, "o"), (0.4, 0.405, "t"), (0.405, 1.6, "e"),
        (1.6, 1.7, "n"), (1.7, 1.8, "k"),
    )  # fmt: skip
    assert [(token.phone, token.context[1:]) for token in find_tokens([item], [0])] == [("n", ("e", "k"))]
    assert find_tokens([spoken()], [0]) == []


def test_an_unknown_speaker_is_a_speaker_of_one_utterance() -> None:
    phones = ((0.0, 0.1, "k"), (0.1, 0.2, "a"), (0.2, 0.3, "m"))
    utterances = [spoken(*phones, speaker=name) for name in ("unknown", "unknown", "", "anna")]
    found = find_tokens(utterances, [0, 0, 0, 1])
    assert [token.is_known for token in found] == [False, False, False, True]
    assert len({token.speaker for token in found}) == 4
