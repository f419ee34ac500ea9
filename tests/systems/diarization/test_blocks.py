"""Blocks of a recording: how they are cut, stitched and turned into turns; windows and where speech is."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavlm.errors import BadDataError, UsageError
from wavlm.evaluation.heads.block import BlockOutput
from wavlm.evaluation.metrics.diarization import diarization_errors
from wavlm.systems.diarization.blockwise import BlockDiarizer, Blocks, cut_blocks
from wavlm.systems.diarization.speech import find_speech
from wavlm.systems.diarization.stitching import PlacedBlock, Stitching, stitch
from wavlm.systems.diarization.windowed import WindowClustering, WindowDiarizer
from wavlm.systems.diarization.windows import Window, cut_windows, join_windows
from wavlm.systems.recording import HeldSamples, open_samples, read_waveform_of

RATE = 16000
HOP = 640
# Who speaks, in a made recording of 100 s: three speakers, one of them only in the last third, with overlaps.
TRUTH = [
    (1.0, 22.0, "a"),
    (20.0, 41.0, "b"),
    (45.0, 66.0, "a"),
    (64.0, 71.0, "b"),
    (70.0, 99.0, "c"),
    (80.0, 84.0, "a"),
]
VOICES = {"a": 1, "b": 2, "c": 3}


def made() -> HeldSamples:
    """100 s in which the sample says who speaks: a bit per voice."""
    pcm = np.zeros(100 * RATE, np.int16)
    for start_s, end_s, name in TRUTH:
        pcm[round(start_s * RATE) : round(end_s * RATE)] += np.int16(1 << VOICES[name])
    return HeldSamples(pcm)


def exact(waveform: np.ndarray, seed: int = 0, with_embeddings: bool = True) -> BlockOutput:
    """A head that is always right, with its speakers in an order of its own in each block."""
    pcm = np.rint(waveform[: len(waveform) // HOP * HOP : HOP] * 2**15).astype(int)
    rng = np.random.default_rng(len(pcm) + int(pcm.sum()) + seed)
    order = rng.permutation(3)
    bits = np.stack([(pcm >> VOICES[name]) & 1 for name in "abc"], axis=1)[:, order]
    embeddings = np.eye(3)[order] * 3 + rng.normal(size=(3, 3)) * 0.1
    return BlockOutput(bits.astype(np.float32), embeddings.astype(np.float32) if with_embeddings else None)


def rate(turns: list[tuple[float, float, str]]) -> float:
    return diarization_errors(TRUTH, turns, [(0.0, 100.0)], collar_each_side_s=0.0).rate


@pytest.mark.parametrize("seconds", [7.0, 30.0, 200.0])
def test_blocks_whose_speakers_come_in_any_order_are_stitched_by_embeddings(seconds: float) -> None:
    settings = Blocks(seconds=seconds, stitching=Stitching(median=1, least_activity=0.01))
    found = BlockDiarizer(exact, HOP, settings).find_turns(made())
    assert rate(found) < 0.002
    assert {name for *_, name in found} == {"1", "2", "3"}


def test_blocks_without_embeddings_are_stitched_by_what_they_share() -> None:
    settings = Blocks(seconds=20.0, overlap_s=10.0, stitching=Stitching(median=1, least_activity=0.01))
    found = BlockDiarizer(lambda block: exact(block, with_embeddings=False), HOP, settings).find_turns(made())
    # a and b are silent at once from 41 to 45 s, so nothing links what lies before with what comes behind for b.
    errors = diarization_errors(TRUTH, found, [(0.0, 100.0)], collar_each_side_s=0.0)
    assert errors.missed_s + errors.false_alarm_s < 0.2
    before = [turn for turn in found if turn[1] <= 42]
    assert diarization_errors(TRUTH[:2], before, [(0.0, 42.0)], collar_each_side_s=0.0).rate < 0.005


def test_overlapping_blocks_give_each_frame_once() -> None:
    """Half of what two blocks share counts for each: activities say the number of their block."""
    numbers = iter(range(1, 100))

    def find(block: np.ndarray) -> BlockOutput:
        return BlockOutput(np.full((len(block) // HOP, 1), next(numbers) % 2, np.float32))

    settings = Blocks(seconds=8.0, overlap_s=4.0, stitching=Stitching(median=1))
    found = BlockDiarizer(find, HOP, settings).find_turns(HeldSamples(np.zeros(24 * RATE, np.int16)))
    assert [turn[:2] for turn in found] == [(0.0, 6.0), (10.0, 14.0), (18.0, 24.0)]


def test_a_known_number_of_speakers_is_found() -> None:
    settings = Blocks(seconds=20.0, stitching=Stitching(farthest=1e-6, speakers=3, median=1, least_activity=0.01))
    found = BlockDiarizer(exact, HOP, settings).find_turns(made())
    assert {name for *_, name in found} == {"1", "2", "3"}


@pytest.mark.parametrize(("seconds", "least_s"), [(10, 0.5), (30, 1.5), (60, 1.5), (300, 1.5)])
def test_who_speaks_for_seconds_is_not_lost_in_a_long_block(seconds: int, least_s: float) -> None:
    """A share of 0.05 of the published blocks of 30 s is 1.5 s; of 300 s it would be 15 s."""
    for spoken_s, expected in ((least_s + 0.2, {"1", "2"}), (least_s - 0.2, {"1"})):
        activity = np.zeros((seconds * 10, 2), np.float32)
        activity[:, 0] = 1
        activity[40 : 40 + round(spoken_s * 10), 1] = 1
        block = PlacedBlock(BlockOutput(activity), 0, 0, len(activity))
        turns = stitch([block], len(activity), RATE // 10, Stitching(median=1))
        assert {name for *_, name in turns} == expected


def test_the_median_filter_takes_short_gaps_and_bursts_away() -> None:
    activity = np.zeros((250, 1), np.float32)
    activity[50:150] = 1
    activity[100:104] = 0
    activity[200:204] = 1
    diarizer = BlockDiarizer(lambda _: BlockOutput(activity), HOP, Blocks())
    found = diarizer.find_turns(HeldSamples(np.zeros(10 * RATE, np.int16)))
    assert found == [(2.0, 6.0, "1")]


@pytest.mark.parametrize("num_samples", [0, 1, 399, 16000, 16001, 480_000, 495_999, 496_000, 2_000_123])
def test_blocks_cover_every_sample_and_none_is_shorter_than_a_second(num_samples: int) -> None:
    cuts = cut_blocks(num_samples, Blocks(), HOP)
    assert sum(stop - start for start, stop in cuts) == num_samples
    assert all(start == stop for (_, stop), (start, _) in pairwise(cuts))
    assert all(stop - start >= RATE for start, stop in cuts[1:])


@pytest.mark.parametrize("num_samples", [0, 1, 399, 8000])
def test_recordings_shorter_than_a_block_of_a_model_are_diarized(num_samples: int) -> None:
    samples = HeldSamples(np.zeros(num_samples, np.int16))
    blocks = BlockDiarizer(lambda block: BlockOutput(np.ones((len(block) // HOP, 1), np.float32)), HOP, Blocks())
    assert blocks.find_turns(samples) == ([(0.0, num_samples / RATE, "1")] if num_samples > 6 * HOP else [])
    windows = WindowDiarizer(lambda found: np.ones((len(found), 2)), WindowClustering(detector="oracle"))
    turns = [(0.0, num_samples / RATE, "a")] if num_samples else []
    assert windows.find_turns(samples, turns) == ([(0.0, num_samples / RATE, "1")] if num_samples else [])


def test_nobody_speaks_where_a_head_finds_nobody() -> None:
    nobody = BlockOutput(np.zeros((750, 0), np.float32), np.zeros((0, 4), np.float32))
    assert BlockDiarizer(lambda _: nobody, HOP, Blocks()).find_turns(made()) == []


def test_activities_that_are_no_probabilities_name_the_block() -> None:
    bad = BlockOutput(np.full((10, 1), np.nan, np.float32))
    with pytest.raises(BadDataError, match=r"BLOCK_BAD: .* begins at 0\.0 s"):
        BlockDiarizer(lambda _: bad, HOP, Blocks()).find_turns(made())


def test_windows_end_with_their_stretch_and_turns_in_the_middle_of_an_overlap() -> None:
    windows = cut_windows([(1.0, 4.0), (5.0, 5.4)], 1.5, 0.75)
    assert windows == [Window(1.0, 2.5, 0), Window(1.75, 3.25, 0), Window(2.5, 4.0, 0), Window(5.0, 5.4, 1)]
    assert join_windows(windows, [0, 0, 1, 0]) == [(1.0, 2.875, "1"), (2.875, 4.0, "2"), (5.0, 5.4, "1")]


def test_windows_are_clustered_into_the_speakers_that_they_have() -> None:
    def embed(waveforms: np.ndarray) -> np.ndarray:
        bits = np.rint(waveforms * 2**15).astype(int)
        return np.stack([((bits >> VOICES[name]) & 1).mean(axis=1) for name in "abc"], axis=1) + 1e-3

    diarizer = WindowDiarizer(embed, WindowClustering(detector="oracle", stop=0.6))
    found = diarizer.find_turns(made(), TRUTH)
    errors = diarization_errors(TRUTH, found, [(0.0, 100.0)], collar_each_side_s=0.0)
    overlap_s = 2.0 + 2.0 + 1.0 + 4.0  # one of two is always missed
    assert errors.missed_s == pytest.approx(overlap_s)
    assert errors.confusion_s < 3.0
    assert {name for *_, name in found} == {"1", "2", "3"}


def test_methods_that_need_a_plda_say_so() -> None:
    with pytest.raises(UsageError, match="PLDA_MISSING"):
        WindowDiarizer(lambda found: found, WindowClustering(method="vbx")).find_turns(made())


@pytest.mark.parametrize("detector", ["webrtc", "energy"])
def test_a_detector_finds_a_voice_between_pauses(detector: str) -> None:
    """A buzz like a voice in faint noise, from 2 to 5 s and from 7 to 9 s of 11."""
    rng = np.random.default_rng(1)
    times = np.arange(11 * RATE) / RATE
    buzz = sum(np.sin(2 * np.pi * 120 * number * times) / number for number in range(1, 25))
    wave = 3000 * buzz * (1 + 0.5 * np.sin(2 * np.pi * 4 * times)) + rng.normal(size=len(times)) * 30
    is_on = ((times >= 2) & (times < 5)) | ((times >= 7) & (times < 9))
    pcm = np.where(is_on, wave, rng.normal(size=len(times)) * 30).clip(-32768, 32767).astype(np.int16)
    found = find_speech(detector, HeldSamples(pcm))  # type: ignore[arg-type]
    assert len(found) == 2
    for (start_s, end_s), (first_s, last_s) in zip(found, [(2, 5), (7, 9)], strict=True):
        assert abs(start_s - first_s) < 0.25
        assert abs(end_s - last_s) < 0.35


@pytest.mark.parametrize("detector", ["webrtc", "energy"])
def test_silence_has_no_speech(detector: str) -> None:
    assert find_speech(detector, HeldSamples(np.zeros(3 * RATE, np.int16))) == []  # type: ignore[arg-type]
    assert find_speech(detector, HeldSamples(np.zeros(0, np.int16))) == []  # type: ignore[arg-type]


def test_a_file_is_read_by_stretches_as_the_samples_that_it_has(tmp_path: Path) -> None:
    pcm = np.random.default_rng(2).integers(-20000, 20000, (40000, 2)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", pcm, RATE, subtype="PCM_16")
    with open_samples(tmp_path / "a.wav") as samples:
        assert samples.num_samples == 40000
        mean = np.rint(pcm.astype(np.float32).mean(axis=1)).astype(np.int16)
        assert np.abs(samples.read(1000, 3000).astype(int) - mean[1000:3000]).max() <= 1
        assert len(samples.read(39990, 50000)) == 10
        around = read_waveform_of(samples, -5, 5)
        assert not around[:5].any()
        assert np.abs(around[5:] * 2**15 - mean[:5]).max() <= 1
