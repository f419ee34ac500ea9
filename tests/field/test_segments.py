"""Segments of long files.

Reported: meetings, calls and broadcasts come as long files with lists of segments, and had to be cut into files by
hand. Tools that read such lists decode the file once per segment, lose segments whose times are wrong without a word,
train on audio that a segment of the validation set holds, and cut what is too long in the middle of a word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.field.speech import ALL_BAD, SPEC, encode, pack, speech
from tests.shards.corpora import Clip
from wavlm.shards.build import TooManyRejectsError

CALL = encode(np.stack([speech(6.0), speech(6.0, 10.0)], axis=1))


def segment(key: str, start_s: float | None, end_s: float | None, **fields: Any) -> Clip:
    return Clip(key, CALL, start_s=start_s, end_s=end_s, file="call", **fields)


def test_each_segment_that_cannot_be_used_is_named_with_its_reason_and_the_others_are_kept(tmp_path: Path) -> None:
    clips = [
        segment("good", 1.0, 2.0),
        segment("late", 5.5, 6.2),
        segment("reversed", 2.0, 1.0),
        segment("empty", 2.0, 2.0),
        segment("behind", 7.0, 9.0),
        segment("before", -1.0, 2.0),
        segment("much-too-long", 5.0, 60.0),
        segment("third-channel", 1.0, 2.0, channel=3),
        segment("short", 1.0, 1.2),
    ]
    packed = pack(tmp_path, clips, ALL_BAD)
    assert sorted(packed.utterances) == ["good", "late"]
    assert {reject.key: reject.reason for reject in packed.rejects} == {
        "reversed": "REGION_EMPTY",
        "empty": "REGION_EMPTY",
        "behind": "REGION_OUTSIDE",
        "before": "REGION_OUTSIDE",
        "much-too-long": "REGION_OUTSIDE",
        "third-channel": "CHANNEL_MISSING",
        "short": "TOO_SHORT",
    }
    details = {reject.key: reject.detail for reject in packed.rejects}
    assert details["behind"] == (
        "behind is a region from 7 s to 9 s, in 6.000 s; in call.wav; correct its times or its file in the list of "
        "regions, or leave it out"
    )
    assert (packed.facts.rejected, packed.facts.excluded) == (
        {"CHANNEL_MISSING": 1, "REGION_EMPTY": 2, "REGION_OUTSIDE": 3},
        {"TOO_SHORT": 1},
    )
    assert packed.facts.notes == {"REGION_CLIPPED": 1}
    assert len(packed.utterances["late"].waveform) == 8000


def test_a_list_with_too_many_wrong_segments_ends_the_stage(tmp_path: Path) -> None:
    clips = [segment("good", 1.0, 2.0), segment("behind", 7.0, 9.0)]
    with pytest.raises(TooManyRejectsError, match=r"1 of 2 recordings are bad \(1 REGION_OUTSIDE\)"):
        pack(tmp_path, clips)


def test_parties_of_a_call_speak_at_once_on_their_channels(tmp_path: Path) -> None:
    clips = [
        segment("a0", 0.0, 3.0, channel=1, speaker="anna", language="en", text="hello"),
        segment("a1", 2.0, 5.0, channel=2, speaker="ben", language="cs", text="ahoj"),
        segment("a2", 2.5, 4.5, channel=1, speaker="eva"),
    ]
    packed = pack(tmp_path, clips)
    for key, channel, start, stop in (("a0", 0, 0, 3), ("a1", 10, 2, 5), ("a2", 0, 2.5, 4.5)):
        np.testing.assert_allclose(packed.utterances[key].waveform, speech(stop - start, channel + start), atol=1e-6)
    assert {item.speaker: item.language for item in packed.utterances.values()} == {
        "anna": "en",
        "ben": "cs",
        "eva": None,
    }
    hours = packed.facts
    assert (hours.samples, hours.samples_repeated, hours.samples_outside) == (128_000, 8_000, 24_000 + 48_000)


def test_short_segments_of_a_speaker_are_joined_and_those_of_others_are_not_between_them(tmp_path: Path) -> None:
    clips = [segment(f"s{n}", n, n + 0.6, speaker="ab"[n % 2]) for n in range(6)]
    packed = pack(tmp_path, clips, SPEC.model_copy(update={"join_seconds": 3.0}))
    assert {key: [piece.key for piece in item.pieces] for key, item in packed.utterances.items()} == {
        "s0-j3": ["s0", "s2", "s4"],
        "s1-j3": ["s1", "s3", "s5"],
    }
