"""Regions of files: which samples they are, how often a file is decoded, and that every sample is accounted for."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.shards.corpora import Clip, encode_audio, write_corpus
from wavlm.execution.progress import no_progress
from wavlm.shards import build_shards, read_index, stream
from wavlm.shards.coverage import Covered, measure_coverage
from wavlm.shards.recordings import Intake
from wavlm.shards.rejects import read_rejects
from wavlm.shards.waveform import read_waveform
from wavlm.specs import ShardSpec

SPEC = ShardSpec(min_seconds=0.3, max_seconds=8.0, shard_megabytes=1.0, max_rejected=1.0)
Pcm = NDArray[np.int16]


@dataclass(frozen=True)
class Made:
    """A file, and how long it is at 16 kHz."""

    name: str
    blob: bytes
    samples: int
    num_channels: int


def make_file(rng: np.random.Generator, name: str) -> Made:
    rate_hz, num_channels = int(rng.choice([8000, 16000, 44100])), int(rng.choice([1, 2]))
    num_samples = int(rng.integers(4 * rate_hz, 9 * rate_hz))
    waveform = rng.uniform(-0.3, 0.3, (num_samples, num_channels))
    return Made(name, encode_audio(waveform, rate_hz), int(np.floor(num_samples * 16000 / rate_hz + 0.5)), num_channels)


def make_region(rng: np.random.Generator, file: Made, number: int) -> Clip:
    """A region of a random kind: inside, at an edge, outside, empty, reversed, of a channel that is not there."""
    length = file.samples / 16000
    start, end = sorted(rng.uniform(0, length, 2))
    times: list[tuple[float | None, float | None]] = [
        *[(start, end)] * 6,
        (None, end),
        (start, None),
        (None, None),
        (start, length + 0.2),
        (start, length + 3.0),
        (length + 1.0, length + 2.0),
        (-1.0, end),
        (end, start),
        (start, start),
        (start, float("nan")),
        (start, float("inf")),
    ]
    start_s, end_s = times[int(rng.integers(len(times)))]
    channel = [None, None, 1, 2][int(rng.integers(4))]
    return Clip(
        f"{file.name}-{number:02d}",
        file.blob,
        speaker=str(rng.choice(["anna", "ben", "unknown"])),
        split="valid" if rng.random() < 0.2 else "train",
        start_s=start_s,
        end_s=end_s,
        channel=channel,
        file=file.name,
    )


def count(clips: list[Clip], files: dict[str, Made], default: str) -> dict[tuple[str, int], Any]:
    """How many regions each sample of a channel is in: counted sample by sample."""
    counts: dict[tuple[str, int], Any] = {}
    for clip in clips:
        file = files[clip.file]
        lanes = [clip.channel] if clip.channel else [0] if default == "mean" else list(range(1, file.num_channels + 1))
        start = 0 if clip.start_s is None else round(max(0.0, clip.start_s) * 16000)
        stop = file.samples if clip.end_s is None else round(min(np.nan_to_num(clip.end_s), 1e6) * 16000)
        for lane in lanes:
            counts.setdefault((clip.file, lane), np.zeros(file.samples, np.int64))[start:stop] += 1
    return counts


@pytest.mark.parametrize("seed", range(8))
def test_every_sample_of_random_regions_is_used_excluded_refused_or_outside(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    files = {name: make_file(rng, name) for name in ("one", "two", "three")}
    clips = [make_region(rng, file, number) for file in files.values() for number in range(int(rng.integers(1, 12)))]
    default = ["mean", "each"][seed % 2]
    spec = SPEC.model_copy(
        update={
            "max_seconds": float(rng.choice([2.0, 8.0])),
            "join_seconds": float(rng.choice([0.0, 2.0])),
            "shard_megabytes": float(rng.choice([0.05, 1.0])),
        }
    )
    out = tmp_path / "out"
    corpus = write_corpus(tmp_path / "corpus", clips)
    facts = build_shards(spec, corpus, out, 1, no_progress, Intake(default, stall_seconds=0))  # type: ignore[arg-type]
    counts = count(clips, files, default)
    assert facts.samples == sum(int(lane.sum()) for lane in counts.values())
    assert facts.samples == facts.samples_used + facts.samples_excluded + facts.samples_refused
    assert facts.samples_outside == sum(int((lane == 0).sum()) for lane in counts.values())
    assert facts.samples_repeated == sum(int(np.maximum(lane - 1, 0).sum()) for lane in counts.values())
    assert facts.unmeasured == 0
    rejects = read_rejects(out)
    refused = {reject.key for reject in rejects if reject.is_recording}
    used = {piece.key for tar in out.glob("*.tar") for item in stream(tar) for piece in item.pieces}
    assert used | refused == {clip.key for clip in clips}
    assert not used & refused
    assert int(read_index(out).samples.sum()) == facts.samples_used + facts.gap_samples
    assert sum(reject.samples for reject in rejects) == facts.samples_excluded + facts.samples_refused
    for reject in rejects:
        clip = next(clip for clip in clips if clip.key == reject.key)
        if clip.end_s is not None and not clip.end_s > (clip.start_s or 0.0) and reject.reason != "CHANNEL_MISSING":
            assert reject.reason == "REGION_EMPTY"


def regions(name: str, blob: bytes, count: int, seconds: float, **fields: Any) -> list[Clip]:
    return [
        Clip(f"{name}-{number:03d}", blob, start_s=number * seconds, end_s=(number + 1) * seconds, file=name, **fields)
        for number in range(count)
    ]


def test_a_part_decodes_a_file_once_however_many_regions_and_speakers_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def note_and_read(path: Path, *args: Any, **options: Any) -> Iterator[Any]:
        decoded.append(path.stem)
        return read_waveform(path, *args, **options)

    monkeypatch.setattr("wavlm.shards.recordings.read_waveform", note_and_read)
    rng = np.random.default_rng(0)
    clips: list[Clip] = []
    for name in ("one", "two", "three"):
        blob = encode_audio(rng.uniform(-0.3, 0.3, 20 * 16000))
        for number, clip in enumerate(regions(name, blob, 20, 1.0)):
            fields = vars(clip) | {
                "speaker": f"{'ab'[number % 2]}-{name}",
                "split": "train" if number < 18 else "valid",
            }
            clips.append(Clip(**fields))
    rng.shuffle(clips)  # type: ignore[arg-type]
    out = tmp_path / "out"
    spec = SPEC.model_copy(update={"shard_megabytes": 0.5})  # 25 s
    facts = build_shards(spec, write_corpus(tmp_path / "corpus", clips), out, 1, no_progress, Intake(stall_seconds=0))
    assert (facts.utterances, facts.shards) == (60, 4)
    assert sorted(decoded) == sorted(["one", "two", "three"] * 2)  # once for train, once for valid
    speakers = [item.speaker for tar in sorted(out.glob("train*.tar")) for item in stream(tar)]
    assert sum(a != b for a, b in pairwise(speakers)) == 5  # sorted within each file


def test_a_file_that_does_not_fit_into_one_tar_is_decoded_once_per_tar(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = regions("one", encode_audio(rng.uniform(-0.3, 0.3, 20 * 16000)), 20, 1.0)
    out = tmp_path / "out"
    spec = SPEC.model_copy(update={"shard_megabytes": 0.2})  # 10 s
    facts = build_shards(spec, write_corpus(tmp_path / "corpus", clips), out, 1, no_progress, Intake(stall_seconds=0))
    assert (facts.shards, facts.utterances) == (2, 20)
    assert (facts.samples, facts.samples_outside, facts.samples_repeated) == (20 * 16000, 0, 0)


@pytest.mark.parametrize("channel", [None, 1, 2])
def test_a_region_has_the_samples_the_channel_and_the_words_of_its_row(tmp_path: Path, channel: int | None) -> None:
    rng = np.random.default_rng(1)
    pcm = rng.integers(-9000, 9000, (6 * 16000, 2)).astype(np.int16)
    row = {"speaker": "ben", "text": "words", "language": "cs", "phones": ((0.5, 1.0, "a"),)}
    clip = Clip("a", encode_audio(pcm / 32768), start_s=1.25, end_s=3.5, channel=channel, file="long", **row)  # type: ignore[arg-type]
    whole = Clip("b", encode_audio(pcm / 32768), channel=1, file="long")
    out = tmp_path / "out"
    build_shards(SPEC, write_corpus(tmp_path / "corpus", [clip, whole]), out, 1, no_progress, Intake(stall_seconds=0))
    (utterance,) = [item for tar in out.glob("*.tar") for item in stream(tar) if item.key == "a"]
    passage = pcm[20000:56000].astype(np.float64)
    expected = passage.mean(axis=1) if channel is None else passage[:, channel - 1]
    np.testing.assert_array_equal(np.rint(utterance.waveform * 32768), np.rint(expected))
    assert (utterance.speaker, utterance.text, utterance.language) == ("ben", "words", "cs")
    assert [(phone.start_s, phone.end_s) for phone in utterance.phones or ()] == [(0.5, 1.0)]
    with tarfile.open(next(out.glob("*.tar"))) as tar:
        member = json.load(tar.extractfile("a.json"))  # type: ignore[arg-type]
    assert member["pieces"] == [
        {
            "key": "a",
            "offset": 0,
            "start": 20000,
            "samples": 36000,
            "channel": channel or 0,
            "cut": "",
            "start_s": 1.25,
            "end_s": 3.5,
        }
    ]
    index = read_index(out)
    assert dict(zip(index.keys, index.languages, strict=True)) == {"a": "cs", "b": ""}


def test_pieces_of_a_long_region_lie_in_it_and_keep_their_phones(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    pcm = rng.integers(-9000, 9000, 12 * 16000).astype(np.int16)
    phones = tuple((0.5 * number, 0.5 * number + 0.25, f"p{number}") for number in range(12))
    clip = Clip("a", encode_audio(pcm / 32768), start_s=4.0, end_s=10.0, phones=phones, file="long")
    spec = SPEC.model_copy(update={"max_seconds": 3.0})
    out = tmp_path / "out"
    build_shards(spec, write_corpus(tmp_path / "corpus", [clip]), out, 1, no_progress, Intake(stall_seconds=0))
    pieces = [item for tar in out.glob("*.tar") for item in stream(tar)]
    waveform = np.concatenate([item.waveform for item in pieces])
    np.testing.assert_array_equal(np.rint(waveform * 32768), pcm[64000:160000])
    for item in pieces:
        shift_s = item.pieces[0].start / 16000 - 4.0
        for phone in item.phones or ():
            number = int(phone.phone[1:])
            assert phone.start_s == pytest.approx(max(0.0, 0.5 * number - shift_s), abs=1e-4)


def test_files_of_two_lengths_are_an_error() -> None:
    first = Covered("a", 100, 2, ((0, 10, 50),))
    assert measure_coverage([first, Covered("a", 100, 2, ((0, 40, 60), (1, 0, 100)))]) == (50, 10)
    with pytest.raises(RuntimeError, match="a has 99 samples in one part, 100 in another"):
        measure_coverage([first, Covered("a", 99, 2, ())])
