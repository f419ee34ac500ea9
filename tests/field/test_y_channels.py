"""Channels (Y).

Reported: a telephone call with a party per channel became one utterance of both voices and one speaker, and there was
no way to take the channels apart. Channels of opposite phase gave silence, without a word about the cause.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tests.corpus.corpora import spec as corpus_spec
from tests.field.speech import ALL_BAD, SPEC, Packed, Samples, encode, pack, speech
from tests.shards.corpora import Clip, noise_clip
from wavlm.corpus.layouts import Phone
from wavlm.shards.recordings import Intake
from wavlm.shards.waveform import Channels
from wavlm.specs import ShardSpec


def take(folder: Path, clips: list[Clip], channels: Channels, spec: ShardSpec = SPEC) -> Packed:
    return pack(folder, clips, spec, Intake(channels, stall_seconds=0))


def stereo(left: Samples, right: Samples) -> Samples:
    return np.stack([left, right], axis=1)


A, B = speech(3.5), speech(3.5, 10.0)
CALL = Clip("call", encode(stereo(A, B), 8000), text="both of them", phones=((0.0, 1.0, "a"),), speaker="anna")


def test_each_channel_is_an_utterance_and_a_speaker_and_equals_a_file_of_that_channel(tmp_path: Path) -> None:
    apart = take(tmp_path / "call", [CALL], "each", SPEC.model_copy(update={"max_seconds": 8.0}))
    assert sorted(apart.utterances) == ["call-c1", "call-c2"]
    alone = [Clip(key, encode(samples, 8000)) for key, samples in (("a", A), ("b", B))]
    expected = pack(tmp_path / "alone", alone, SPEC.model_copy(update={"max_seconds": 8.0})).utterances
    for key, same, channel in (("call-c1", "a", 1), ("call-c2", "b", 2)):
        utterance = apart.utterances[key]
        np.testing.assert_array_equal(utterance.waveform, expected[same].waveform)
        assert utterance.speaker == f"anna-c{channel}"
        assert (utterance.text, utterance.phones) == (None, None)
        assert [(piece.key, piece.channel) for piece in utterance.pieces] == [("call", channel)]
    assert apart.facts.speakers == 2
    assert apart.facts.channels == {"2": 1}
    assert (apart.facts.recordings_used, apart.facts.samples) == (1, 2 * 7 * 16000)


def test_pieces_of_channels_are_cut_named_and_refused_each_alone(tmp_path: Path) -> None:
    left = np.concatenate([speech(4.0), np.zeros(64000)])
    packed = take(tmp_path, [Clip("call", encode(stereo(left, speech(8.0, 10.0))))], "each")
    assert sorted(packed.utterances) == ["call-c1-p000", "call-c2-p000", "call-c2-p001"]
    (reject,) = packed.rejects
    assert (reject.piece, reject.channel, reject.start, reject.samples) == ("call-c1-p001", 1, 64000, 64000)


def test_unknown_speakers_stay_unknown_and_one_channel_keeps_its_text(tmp_path: Path) -> None:
    mono = Clip("mono", encode(A), text="words", phones=((0.0, 1.0, "a"),), speaker="unknown")
    packed = take(tmp_path, [mono], "each")
    (utterance,) = packed.utterances.values()
    assert (utterance.key, utterance.speaker, utterance.text) == ("mono-c1", "unknown", "words")
    assert utterance.phones == (Phone(0.0, 1.0, "a"),)
    assert packed.facts.speakers == 0


@pytest.mark.parametrize(("channels", "expected"), [("first", A), (1, A), (2, B)])
def test_one_channel_can_be_chosen_by_its_number_from_1(tmp_path: Path, channels: Channels, expected: Samples) -> None:
    packed = take(tmp_path, [Clip("call", encode(stereo(A, B)), text="words")], channels)
    (utterance,) = packed.utterances.values()
    np.testing.assert_allclose(utterance.waveform, expected, atol=1e-6)
    assert (utterance.key, utterance.speaker, utterance.text) == ("call", "anna", "words")


def test_a_channel_that_a_recording_lacks_is_a_reject_with_its_length(tmp_path: Path) -> None:
    packed = take(tmp_path, [CALL, Clip("mono", encode(A))], 2, ALL_BAD.model_copy(update={"max_seconds": 8.0}))
    (reject,) = packed.rejects
    assert (reject.key, reject.reason, reject.samples) == ("mono", "CHANNEL_MISSING", len(A))
    advice = "correct the channel in its row, or `channels` in the corpus spec, or leave it out"
    assert reject.detail == f"channel 2 of 1; in mono.wav; {advice}"


def test_short_clips_of_a_chosen_channel_are_joined(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"join_seconds": 4.0})
    clips = [Clip(f"a{number}", encode(stereo(speech(1.0, number), B[:16000]))) for number in range(2)]
    (joined,) = take(tmp_path, clips, 1, spec).utterances.values()
    assert [(piece.key, piece.channel) for piece in joined.pieces] == [("a0", 1), ("a1", 1)]


OPPOSITE = {
    "exactly": stereo(A, -A),
    "almost": stereo(A, -0.97 * A),
    "with an offset": stereo(A, -A + 0.2),
    "with noise": stereo(A, -A + np.random.default_rng(0).normal(0, 1e-3, len(A))),
    "in pairs": np.stack([A, -A, B, -B], axis=1),
}


@pytest.mark.parametrize("what", OPPOSITE)
@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_channels_that_cancel_are_told_apart_from_silence(tmp_path: Path, what: str, rate_hz: int) -> None:
    spec = ALL_BAD.model_copy(update={"max_seconds": 8.0})
    clips = [Clip("opposite", encode(OPPOSITE[what], rate_hz, subtype="FLOAT")), Clip("silent", encode(0 * CALM))]
    packed = take(tmp_path / "mean", [*clips, noise_clip("good", 1.0)], "mean", spec)
    assert {reject.key: reject.reason for reject in packed.rejects} == {
        "opposite": "AUDIO_CANCELS",
        "silent": "AUDIO_SILENT",
    }
    assert all("; in " in reject.detail for reject in packed.rejects)
    assert len(take(tmp_path / "each", clips[:1], "each", spec).utterances) == OPPOSITE[what].shape[1]


CALM = stereo(A, A)


def test_channels_that_cancel_after_lossy_coding_are_found(tmp_path: Path) -> None:
    blob = encode(stereo(A, -A), 16000, "OGG", "VORBIS")
    packed = take(tmp_path, [Clip("a", blob, ".ogg"), noise_clip("good", 1.0)], "mean", ALL_BAD)
    assert [reject.reason for reject in packed.rejects] == ["AUDIO_CANCELS"]


def test_only_the_pieces_that_cancel_are_left_out(tmp_path: Path) -> None:
    right = np.concatenate([speech(4.0), -speech(4.0, 4.0)])
    packed = take(tmp_path, [Clip("a", encode(stereo(speech(8.0), right)))], "mean")
    assert list(packed.utterances) == ["a-p000"]
    assert [(reject.piece, reject.reason) for reject in packed.rejects] == [("a-p001", "AUDIO_CANCELS")]


@pytest.mark.parametrize("num_channels", [2, 8])
def test_a_mean_of_one_live_channel_or_of_independent_ones_is_used(tmp_path: Path, num_channels: int) -> None:
    one = np.zeros((len(A), num_channels))
    one[:, -1] = A
    many = np.stack([speech(3.5, 3.0 * number) for number in range(num_channels)], axis=1)
    packed = take(tmp_path, [Clip("one", encode(one)), Clip("many", encode(many))], "mean")
    assert sorted(packed.utterances) == ["many", "one"]
    np.testing.assert_allclose(packed.utterances["many"].waveform, many.mean(axis=1), atol=5e-5)


@pytest.mark.parametrize("channels", ["left", 0, -1, 1.5, "2", True])
def test_what_is_no_choice_of_channels_is_refused_in_the_spec(channels: object) -> None:
    with pytest.raises(ValidationError, match="channels"):
        corpus_spec(sources=({"type": "folder", "path": "/x", "revision": "1"},), channels=channels)
