"""Conversations of single utterances: the turns are where the sound is, and nobody is in two parts."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from wavlm.errors import BadDataError
from wavlm.evaluation.describe import amount_of
from wavlm.evaluation.examples import Example, Take, takes_of
from wavlm.evaluation.tasks.activity import overlapped, spoken
from wavlm.evaluation.tasks.conversations import Source, make_conversations
from wavlm.mixing.sound import find_sound
from wavlm.specs.pairs import ConversationSpec

SPEC = ConversationSpec(train=6, dev=2, test=3, seconds=6.0, level_db=0.0)


class Tones:
    """A reader: each row is 2 s of one tone, with silence before and behind it."""

    def read(self, row: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        times_s = np.arange(32000) / 16000
        wave = 0.5 * np.sin(2 * np.pi * (200 + 100 * (row // 3)) * times_s) * ((times_s >= 0.5) & (times_s < 1.5))
        return wave.astype(np.float32)[start:stop]


READERS: Any = [Tones()]


def _sources(speakers: int = 9) -> list[Source]:
    return [Source(f"s{row // 3}", Take(0, row), 32000) for row in range(3 * speakers)]


def _made(spec: ConversationSpec = SPEC, speakers: int = 9) -> list[Example]:
    return list(make_conversations(spec, _sources(speakers), READERS))


def _turns(item: Example) -> list[tuple[float, float, str]]:
    return [tuple(turn) for turn in item.target["turns"]]  # type: ignore[index,call-overload,misc]


def test_sound_is_where_the_tone_is() -> None:
    assert find_sound(Tones().read(0)) == [(8000, 24000)]
    assert find_sound(np.zeros(5000, np.float32)) == find_sound(np.zeros(5, np.float32)) == []


def test_a_long_pause_divides_a_turn_and_a_short_one_does_not() -> None:
    rng = np.random.default_rng(0)
    wave = rng.normal(size=32000).astype(np.float32)
    wave[8000 : 8000 + 15 * 320] *= 1e-3
    assert find_sound(wave) == [(0, 32000)]
    wave[8000 : 8000 + 17 * 320] *= 1e-3
    assert find_sound(wave) == [(0, 8000), (8000 + 17 * 320, 32000)]


def test_the_turns_of_a_speaker_are_where_its_tone_is_in_the_samples() -> None:
    """Each speaker has a frequency of its own, so a short spectrum says who speaks without looking at the turns."""
    checked = 0
    for item in _made():
        wave = item.audio.load(READERS)
        assert len(wave) == item.num_samples
        turns = _turns(item)
        names = {name for *_, name in turns}
        for frame in range(0, len(wave) - 1600, 1600):  # 0.1 s: all frequencies have whole periods
            begin_s, end_s = frame / 16000, (frame + 1600) / 16000
            if any(begin_s < edge < end_s for start_s, stop_s, _ in turns for edge in (start_s, stop_s)):
                continue
            power = np.abs(np.fft.rfft(wave[frame : frame + 1600])[10:150:10])  # 100, 200, ... Hz
            found = {name for name in names if power[1 + int(name[1:])] > 10}
            assert found == {name for start_s, stop_s, name in turns if start_s <= begin_s and end_s <= stop_s}
            checked += bool(found)
    assert checked > 100


def test_nobody_is_in_two_parts_and_each_part_has_its_conversations() -> None:
    made = _made()
    speakers = {
        part: {name for it in made if it.part == part for *_, name in _turns(it)} for part in {it.part for it in made}
    }
    assert {part: sum(it.part == part for it in made) for part in speakers} == {
        "made-train": 6,
        "made-dev": 2,
        "made-test": 3,
    }
    assert all(not a & b for a, b in combinations(speakers.values(), 2))


def test_voices_of_made_conversations_are_counted_by_what_they_are_made_of() -> None:
    """The names in the turns of real recordings are not: A and B are others in the next one."""
    made = _made()
    voices = {take.row // 3 for it in made for take in takes_of(it.audio)}
    assert amount_of(made).speakers == len(voices) > 2
    real = [replace(it, audio=Take(0, 1)) for it in made]
    assert amount_of(real).speakers == 0


def test_the_same_spec_gives_the_same_samples_in_another_process_and_another_seed_gives_others() -> None:
    first, again = _made(), pickle.loads(pickle.dumps(_made()))
    assert [repr(it) for it in first] == [repr(it) for it in again]
    assert np.array_equal(first[0].audio.load(READERS), again[0].audio.load(READERS))
    assert [repr(it) for it in _made(SPEC.model_copy(update={"seed": 1}))] != [repr(it) for it in first]


def test_more_conversations_leave_the_first_ones_as_they_are() -> None:
    more = _made(SPEC.model_copy(update={"train": 8}))
    assert [repr(it) for it in more if it.part == "made-train"][:6] == [repr(it) for it in _made()][:6]


@pytest.mark.parametrize(("overlap", "low", "high"), [(0.0, 0.0, 0.0), (1.0, 0.1, 0.8)])
def test_speech_overlaps_as_much_as_the_spec_says(overlap: float, low: float, high: float) -> None:
    made = _made(SPEC.model_copy(update={"overlap": overlap, "train": 20}))
    both, all_ = (
        sum(end_s - start_s for it in made for start_s, end_s in find(_turns(it))) for find in (overlapped, spoken)
    )
    assert low <= both / all_ <= high


def test_nobody_speaks_over_themselves() -> None:
    for item in _made(SPEC.model_copy(update={"overlap": 1.0, "speakers": (2, 3)})):
        for name in {name for *_, name in _turns(item)}:
            assert overlapped([turn for turn in _turns(item) if turn[2] == name]) == []


def test_too_few_speakers_and_speakers_without_sound_are_refused() -> None:
    with pytest.raises(BadDataError, match="SPLIT_EMPTY: 5 speakers are too few: conversations of the part made-train"):
        _made(speakers=5)
    silent: Any = [type("Silence", (), {"read": lambda *_: np.zeros(32000, np.float32)})()]
    with pytest.raises(BadDataError, match="TARGET_BAD: 20 recordings in a row have no sound"):
        list(make_conversations(SPEC, _sources(), silent))
