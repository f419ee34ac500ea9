"""Long recordings are cut where nobody speaks, into pieces of allowed lengths, and alike on every machine."""

from __future__ import annotations

import json
import tarfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from tests.field.speech import encode, speech
from tests.shards.corpora import SPEC, Clip, bytes_of, write_corpus
from wavlm.execution.progress import no_progress
from wavlm.shards import ShardsFacts, build_shards, pauses, stream
from wavlm.shards.cuts import Cut, cut_at_pauses, cut_equally, has_room
from wavlm.shards.pauses import Frames, listen
from wavlm.shards.recordings import Intake
from wavlm.specs import ShardSpec

Samples = NDArray[np.float64]
MIN, MAX = 8_000, 64_000


def frames_of(pauses_s: list[tuple[float, float]], seconds: float, seed: int = 0) -> Frames:
    """Frames with pauses at some times, and random places that are better or worse."""
    middles = (np.arange(round(100 * seconds)) + 0.5) / 100
    is_pause = np.zeros(len(middles), bool)
    for start, stop in pauses_s:
        is_pause |= (middles > start) & (middles < stop)
    return Frames(is_pause, np.random.default_rng(seed).integers(0, 900, len(middles)))


def cut(frames: Frames, seconds: float, min_samples: int = MIN) -> list[tuple[float, str]]:
    found = cut_at_pauses(frames, 0, round(seconds * 16000), min_samples, MAX)
    return [(item.at / 16000, item.kind) for item in found]


@pytest.mark.parametrize("seed", range(20))
def test_pieces_of_random_recordings_have_allowed_lengths_and_are_cut_in_pauses_if_there_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seconds = float(rng.uniform(4.01, 60.0))
    starts = rng.uniform(0, seconds, int(rng.integers(0, 20)))
    frames = frames_of([(start, start + float(rng.uniform(0.1, 0.6))) for start in starts], seconds, seed)
    start = int(rng.integers(0, 1000))
    cuts = cut_at_pauses(frames, start, total := round(seconds * 16000), MIN, MAX)
    edges = [0, *(item.at - start for item in cuts), total]
    assert all(MIN <= stop - begin <= MAX for begin, stop in pairwise(edges))
    assert len(edges) - 2 <= 2 * (total // MAX + 1)
    for begin, item in zip(edges, cuts, strict=False):
        at = item.at - start
        assert frames.is_pause[at // 160] == (item.kind == "pause")
        if item.kind == "quiet":  # then there is no pause in which a piece of an allowed length could end
            reach = (np.arange(len(frames.is_pause)) + 0.5) * 160
            inside = (reach >= begin + MIN) & (reach <= min(begin + MAX, total - MIN))
            assert not frames.is_pause[inside].any()


def test_a_long_piece_is_preferred_and_a_short_one_better_than_a_cut_into_speech() -> None:
    assert cut(frames_of([(1.0, 1.5), (3.0, 3.5)], 9.0), 9.0)[0][0] == pytest.approx(3.25, abs=0.26)
    (at, kind), *_ = cut(frames_of([(1.0, 1.5)], 9.0), 9.0)
    assert (1.0 < at < 1.5, kind) == (True, "pause")
    assert cut(frames_of([(0.1, 0.3)], 6.0), 6.0)[0][1] == "quiet"  # it would leave 0.3 s


def test_the_last_two_pieces_are_about_halves() -> None:
    for tenths in range(41, 60):
        ((at, _),) = cut(frames_of([], tenths / 10), tenths / 10)
        assert min(at, tenths / 10 - at) >= 0.99  # a quarter of the longest
    assert has_room(MIN, MAX)
    assert not has_room(40_000, MAX)
    assert cut_equally(5, 100, 40) == (Cut(38, "equal"), Cut(71, "equal"))


def joined() -> Samples:
    """Stretches of speech with pauses of faint noise. The speech has pauses of its own."""
    rng = np.random.default_rng(0)
    parts: list[Samples] = []
    for number in range(9):
        parts += [speech(3.0, 3.0 * number), rng.normal(0, 3e-5, 11200)]
    return np.concatenate(parts)


PAUSES = SPEC.model_copy(update={"cut": "pauses", "max_seconds": 8.0, "shard_megabytes": 5.0})


def pack(folder: Path, blob: bytes, spec: ShardSpec = PAUSES, intake: Intake | None = None) -> ShardsFacts:
    corpus = write_corpus(folder / "corpus", [Clip("long", blob)])
    return build_shards(spec, corpus, folder / "out", 1, no_progress, intake or Intake(stall_seconds=0))


def test_speech_is_cut_where_it_is_quiet_and_the_cuts_are_recorded(tmp_path: Path) -> None:
    samples = joined()
    facts = pack(tmp_path, encode(samples))
    with tarfile.open(next((tmp_path / "out").glob("*.tar"))) as tar:
        members = [json.load(tar.extractfile(name)) for name in tar.getnames() if name.endswith("json")]  # type: ignore[arg-type]
    pieces = [piece for member in members for piece in member["pieces"]]
    assert [piece["cut"] for piece in pieces] == ["", *["pause"] * (len(pieces) - 1)]
    loud = np.sqrt((samples**2).mean())
    for piece in pieces[1:]:
        at = round(piece["start_s"] * 16000)
        assert np.sqrt((samples[at - 1600 : at + 1600] ** 2).mean()) < loud / 50, piece
    assert facts.cuts == {"pause": len(pieces) - 1}
    assert 5 <= len(pieces) <= 9
    utterances = [item for tar in (tmp_path / "out").glob("*.tar") for item in stream(tar)]
    np.testing.assert_allclose(np.concatenate([item.waveform for item in utterances]), samples, atol=5e-5)


def test_equal_pieces_can_be_asked_for_and_are_what_noise_gets(tmp_path: Path) -> None:
    blob = encode(joined())
    equal = pack(tmp_path / "equal", blob, PAUSES.model_copy(update={"cut": "equal"}))
    noise = pack(tmp_path / "noise", blob, intake=Intake(role="noise", stall_seconds=0))
    assert equal.cuts == noise.cuts == {"equal": 4}


def test_the_size_of_blocks_and_the_disk_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = encode(joined())
    pack(tmp_path / "one", blob)
    monkeypatch.setattr(pauses, "BLOCK_FRAMES", 7)
    monkeypatch.setattr("wavlm.shards.spool.MEMORY_BYTES", 1000)
    pack(tmp_path / "other", blob)
    assert bytes_of(tmp_path / "one" / "out") == bytes_of(tmp_path / "other" / "out")


def test_what_is_heard_in_a_region_does_not_depend_on_what_is_around_it() -> None:
    pcm = np.rint(32767 * speech(6.0)).astype(np.int16)
    around = np.concatenate([pcm[::-1], pcm, pcm])
    alone = listen(lambda start, stop: pcm[start:stop], 0, len(pcm) - 50)
    inside = listen(lambda start, stop: around[start:stop], len(pcm), len(pcm) - 50)
    np.testing.assert_array_equal(alone.badness, inside.badness)
    np.testing.assert_array_equal(alone.is_pause, inside.is_pause)
    assert len(alone.badness) == 599
    assert 0.02 < alone.is_pause.mean() < 0.6


@pytest.mark.parametrize("rate_hz", [8000, 24000, 44100])
def test_pauses_are_where_they_are_at_another_sample_rate(rate_hz: int) -> None:
    """The detector takes neither 24 kHz nor 44.1 kHz: it gets another rate, in which voices lie where they did."""
    wave = speech(6.0)
    pcm = np.rint(32767 * wave).astype(np.int16)
    other = np.rint(32767 * np.clip(soxr.resample(wave, 16000, rate_hz, "HQ"), -1, 1)).astype(np.int16)
    usual = listen(lambda start, stop: pcm[start:stop], 0, len(pcm))
    found = listen(lambda start, stop: other[start:stop], 0, len(other), rate_hz)
    assert found.frame_samples == rate_hz // 100
    assert len(found.is_pause) == len(usual.is_pause) == 600
    assert (found.is_pause == usual.is_pause).mean() > 0.99
    assert 0.02 < found.is_pause.mean() < 0.6


def test_silence_and_loud_noise_are_cut_too() -> None:
    for pcm in (np.zeros(160_000, np.int16), np.random.default_rng(0).integers(-30000, 30000, 160_000, np.int16)):
        frames = listen(lambda start, stop, pcm=pcm: pcm[start:stop], 0, len(pcm))  # type: ignore[misc]
        edges = [0, *(item.at for item in cut_at_pauses(frames, 0, len(pcm), MIN, MAX)), len(pcm)]
        assert all(MIN <= stop - start <= MAX for start, stop in pairwise(edges))
