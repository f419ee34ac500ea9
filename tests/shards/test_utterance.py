"""Text and phones stay aligned with the audio after resampling, cutting and joining."""

from pathlib import Path

import numpy as np
import pytest

from tests.shards.corpora import SPEC, Clip, Samples, encode_audio, noise, noise_clip, write_corpus
from wavlm.corpus.layouts import Phone
from wavlm.execution.progress import no_progress
from wavlm.shards import Piece, Utterance, build_shards, read_index, stream
from wavlm.shards.cuts import cut_equally
from wavlm.shards.utterance import Source, cut, from_json, to_json
from wavlm.specs import ShardSpec

JOINING = SPEC.model_copy(update={"join_seconds": 3.0, "join_gap_seconds": 0.25})


def beeps(times: list[tuple[float, float]], seconds: float, rate_hz: int) -> Samples:
    """A tone in each interval, weak noise elsewhere."""
    samples = noise(seconds, seed=3, rate_hz=rate_hz) * 1e-3
    clock = np.arange(len(samples)) / rate_hz
    for start, end in times:
        inside = (clock >= start) & (clock < end)
        samples[inside] += 0.5 * np.sin(2 * np.pi * 1000 * clock[inside])
    return samples


def beep_clip(key: str, times: list[tuple[float, float]], seconds: float, rate_hz: int) -> Clip:
    return Clip(
        key,
        encode_audio(beeps(times, seconds, rate_hz), rate_hz),
        text=f"beeps of {key}",
        phones=tuple((start, end, "beep") for start, end in times),
        sample_rate_hz=rate_hz,
        num_samples=round(seconds * rate_hz),
    )


def assert_phones_lie_on_beeps(utterance: Utterance) -> None:
    """Check every 10 ms that there is a tone if and only if there is a phone; skip edges of phones."""
    frames = utterance.waveform[: len(utterance.waveform) // 160 * 160].reshape(-1, 160)
    is_loud = np.sqrt((frames**2).mean(axis=1)) > 0.1
    starts = np.arange(len(frames)) * 0.01
    is_phone, is_edge = np.zeros((2, len(frames)), bool)
    for start_s, end_s, _ in utterance.phones or ():
        is_phone |= (starts >= start_s) & (starts < end_s)
        for edge_s in (start_s, end_s):
            is_edge |= np.abs(starts + 0.005 - edge_s) < 0.007
    np.testing.assert_array_equal(is_loud[~is_edge], is_phone[~is_edge], utterance.key)
    assert is_edge.sum() <= 4 * len(utterance.phones or ())


def utterances(folder: Path, clips: list[Clip], spec: ShardSpec = SPEC) -> dict[str, Utterance]:
    corpus = write_corpus(folder / "corpus", clips)
    build_shards(spec, corpus, folder / "out", 1, no_progress)
    tars = sorted((folder / "out").glob("*.tar"))
    return {utterance.key: utterance for shard in tars for utterance in stream(shard)}


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_phones_still_lie_on_their_sound_after_join_and_cut(tmp_path: Path, rate_hz: int) -> None:
    found = utterances(
        tmp_path,
        [
            beep_clip("a0", [(0.2, 0.4), (0.6, 0.8)], 1.0, rate_hz),
            beep_clip("a1", [(0.1, 0.3)], 0.7, rate_hz),
            beep_clip("a2", [(0.0, 0.5)], 0.8, rate_hz),
            beep_clip("long", [(0.5, 1.0), (2.5, 4.5), (6.2, 7.9)], 8.0, rate_hz),
        ],
        JOINING,
    )
    assert sorted(found) == ["a0-j3", "long-p000", "long-p001", "long-p002"]
    for utterance in found.values():
        assert_phones_lie_on_beeps(utterance)
    assert sum(len(item.phones or ()) for item in found.values()) == 4 + 3 + 1  # one is cut in two


def test_a_join_has_the_gap_asked_for_and_says_where_its_clips_lie(tmp_path: Path) -> None:
    clips = [beep_clip("a0", [(0.0, 1.0)], 1.0, 16000), beep_clip("a1", [(0.0, 1.0)], 1.0, 16000)]
    joint = utterances(tmp_path, clips, JOINING)["a0-j2"]
    assert joint.pieces == (Piece("a0", 0, 0, 16000), Piece("a1", 20000, 0, 16000))
    assert not joint.waveform[16000:20000].any()
    assert len(joint.waveform) == 36000
    assert joint.text == "beeps of a0 beeps of a1"
    assert joint.phones == (Phone(0.0, 1.0, "beep"), Phone(1.25, 2.25, "beep"))


def test_joins_never_cross_a_speaker_a_split_or_the_limit(tmp_path: Path) -> None:
    clips = [
        noise_clip("a0", 1.0, "anna"),
        noise_clip("b0", 1.0, "ben"),
        noise_clip("a1", 1.0, "anna"),  # the next of anna, after another speaker
        noise_clip("a2", 0.6, "anna", "valid"),
        noise_clip("b1", 1.8, "ben"),  # 1.0 + 0.25 + 1.8 s is above 3
        noise_clip("n0", 1.0, "unknown"),  # unknown speakers may be different speakers
        noise_clip("n1", 1.0, "unknown"),
    ]
    assert sorted(utterances(tmp_path, clips, JOINING)) == ["a0-j2", "a2", "b0", "b1", "n0", "n1"]


def test_the_parts_of_a_cut_recording_are_never_joined(tmp_path: Path) -> None:
    clips = [noise_clip("a0", 0.6), noise_clip("a1", 3.2), noise_clip("a2", 0.7)]
    assert sorted(utterances(tmp_path, clips, JOINING)) == ["a0", "a1-p000", "a1-p001", "a2"]


def test_text_of_a_join_is_known_only_if_all_of_it_is(tmp_path: Path) -> None:
    clips = [beep_clip("a0", [(0, 1)], 1.0, 16000), noise_clip("a1", 1.0)]
    joint = utterances(tmp_path, clips, JOINING)["a0-j2"]
    assert joint.text is None
    assert joint.phones == (Phone(0.0, 1.0, "beep"),)


@pytest.mark.parametrize("seconds", [3.0, 3.00625, 8.0, 9.0, 9.1])
def test_pieces_are_equal_to_a_sample_and_put_together_are_the_recording(seconds: float) -> None:
    samples = noise(seconds, seed=5).astype(np.float32)
    whole = Source("long", "anna", "train", "words", None, Piece("long", 0, 0, len(samples)))
    pieces = [piece for _, piece in cut(whole, cut_equally(0, len(samples), max_samples=48000))]
    lengths = [piece.samples for piece in pieces]
    assert len(pieces) == int(np.ceil(seconds / 3.0))
    assert max(lengths) <= 48000
    assert max(lengths) - min(lengths) <= 1
    np.testing.assert_array_equal(
        np.concatenate([samples[piece.start : piece.start + piece.samples] for piece in pieces]), samples
    )


def test_a_joined_utterance_is_measured_as_a_whole_against_the_minimum(tmp_path: Path) -> None:
    clips = [noise_clip("a0", 0.3), noise_clip("a1", 0.3), noise_clip("b0", 0.3, "ben")]
    assert sorted(utterances(tmp_path, clips, JOINING)) == ["a0-j2"]


def test_pieces_under_the_minimum_exclude_the_whole_recording(tmp_path: Path) -> None:
    narrow = SPEC.model_copy(update={"min_seconds": 2.5})
    assert list(utterances(tmp_path, [noise_clip("a0", 4.0), noise_clip("a1", 2.6)], narrow)) == ["a1"]
    assert list(read_index(tmp_path / "out").keys) == ["a1"]


def test_the_json_member_gives_back_what_went_in() -> None:
    utterance = Utterance(
        key="a",
        speaker="Žofie",
        split="train",
        waveform=np.zeros(10, np.float32),
        text="žluťoučký kůň",
        phones=(Phone(0.0, 0.5, "ž"),),
        pieces=(Piece("a", 0, 0, 10),),
    )
    again = from_json(to_json(utterance), utterance.waveform)
    assert {**vars(again), "waveform": None} == {**vars(utterance), "waveform": None}
    with pytest.raises(ValueError, match="json says 10 samples, FLAC holds 9"):
        from_json(to_json(utterance), utterance.waveform[:9])
