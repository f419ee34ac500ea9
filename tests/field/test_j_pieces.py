"""Pieces of recordings (J).

Reported: 8.5 s of speech and 60 s of zeros in one file became five utterances, four of them pure zeros, and all were
trained on, though a file of zeros is refused. What makes a recording unfit makes a piece unfit: zeros, a constant, the
noise of a codec, a slow drift, a lone click.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.field.speech import ALL_BAD, SPEC, Samples, encode, pack, speech
from tests.shards.corpora import Clip, noise_clip
from wavlm.shards.recordings import Intake

SECONDS = 24
RNG = np.random.default_rng(3)


def zeros() -> Samples:
    return np.zeros(SECONDS * 16000)


def with_click(samples: Samples, at_seconds: float) -> Samples:
    samples[round(at_seconds * 16000)] = 0.9
    return samples


DEAD = {
    "zeros": zeros(),
    "an offset": zeros() + 0.25,
    "the last bit": RNG.integers(-1, 2, SECONDS * 16000) / 32768,
    "noise of a codec": RNG.uniform(-3, 3, SECONDS * 16000) / 32768,
    "a slow drift": np.linspace(0, 0.05, SECONDS * 16000),
    "a click in every piece": with_click(with_click(with_click(zeros(), 2), 10), 18.0),
    "an offset that is switched on": np.where(np.arange(SECONDS * 16000) > 40000, 0.2, 0.0),
}


@pytest.mark.parametrize("what", DEAD)
def test_pieces_without_sound_are_left_out_by_name_and_the_others_are_kept(tmp_path: Path, what: str) -> None:
    blob = encode(np.concatenate([speech(8.0), DEAD[what]]))
    packed = pack(tmp_path, [Clip("long", blob)])
    assert sorted(packed.utterances) == ["long-p000", "long-p001"]
    np.testing.assert_allclose(packed.utterances["long-p001"].waveform, speech(4.0, 4.0), atol=1e-6)
    assert [reject.piece for reject in packed.rejects] == [f"long-p{number:03d}" for number in range(2, 8)]
    assert {reject.reason for reject in packed.rejects} == {"AUDIO_SILENT"}
    assert all(f"{reject.piece} of long.wav" in reject.detail for reject in packed.rejects)
    assert packed.facts.rejected_pieces == {"AUDIO_SILENT": 6}
    assert (packed.facts.recordings_used, packed.facts.rejected) == (1, {})
    assert (packed.facts.samples, packed.facts.samples_refused) == (32 * 16000, 24 * 16000)


@pytest.mark.parametrize("what", DEAD)
def test_a_recording_of_such_pieces_alone_is_one_reject(tmp_path: Path, what: str) -> None:
    packed = pack(tmp_path, [Clip("dead", encode(DEAD[what])), noise_clip("good", 1.0)], ALL_BAD)
    (reject,) = packed.rejects
    assert (reject.key, reject.reason, reject.piece) == ("dead", "AUDIO_SILENT", "")
    assert reject.samples == SECONDS * 16000
    assert packed.facts.rejected == {"AUDIO_SILENT": 1}
    assert packed.facts.rejected_pieces == {}


@pytest.mark.parametrize("rate_hz", [8000, 44100])
def test_silence_in_the_middle_is_found_at_every_rate(tmp_path: Path, rate_hz: int) -> None:
    samples = RNG.uniform(-0.3, 0.3, 4 * rate_hz)
    blob = encode(np.concatenate([samples, np.zeros(8 * rate_hz), samples]), rate_hz, "FLAC")
    packed = pack(tmp_path, [Clip("a", blob, ".flac")], SPEC)
    assert sorted(packed.utterances) == ["a-p000", "a-p003"]
    assert [(reject.start, reject.samples) for reject in packed.rejects] == [(64000, 64000), (128000, 64000)]


def test_speech_with_pauses_quiet_speech_and_short_words_are_kept(tmp_path: Path) -> None:
    gated = speech(4.0)
    gated[np.arange(len(gated)) // 8000 % 2 == 1] = 0  # half of the time digital silence
    word = np.zeros(16000)
    word[4000:10000] = speech(0.375, 2.0)
    quiet = speech(4.0) * (150 / 32768 / np.abs(speech(4.0)).max())
    clips = [Clip(key, encode(samples)) for key, samples in (("gated", gated), ("word", word), ("quiet", quiet))]
    packed = pack(tmp_path, clips)
    assert sorted(packed.utterances) == ["gated", "quiet", "word"]


@pytest.mark.parametrize("role", ["noise", "room"])
def test_noise_and_responses_of_rooms_may_be_a_lone_click(tmp_path: Path, role: str) -> None:
    samples = with_click(np.zeros(16000), 0.1)
    packed = pack(tmp_path, [Clip("clap", encode(samples))], intake=Intake(role=role, stall_seconds=0))  # type: ignore[arg-type]
    assert list(packed.utterances) == ["clap"]


def test_a_silent_recording_is_never_joined_to_its_neighbours(tmp_path: Path) -> None:
    spec = ALL_BAD.model_copy(update={"join_seconds": 4.0, "join_gap_seconds": 0.1})
    clips = [noise_clip("a0", 1.0), Clip("a1", encode(np.zeros(16000))), noise_clip("a2", 1.0)]
    packed = pack(tmp_path, clips, spec)
    (joined,) = packed.utterances.values()
    assert [piece.key for piece in joined.pieces] == ["a0", "a2"]
    assert [reject.key for reject in packed.rejects] == ["a1"]
    assert packed.facts.gap_samples == 1600
