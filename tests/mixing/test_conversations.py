"""Simulated conversations: truth agrees with the audio sample by sample, and statistics are those of the spec."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.mini_shards import Spoken, write_shards
from wavlm.corpus.layouts import read_layout
from wavlm.errors import BadDataError, UsageError
from wavlm.mixing.conversations.build import Folders, build_conversations
from wavlm.mixing.conversations.draw import DrawnConversation, SourceUtterance, draw_conversation
from wavlm.mixing.conversations.measure import seconds_with
from wavlm.specs.labelled import RttmLayout
from wavlm.specs.simulation import SimulationSpec

RATE = 16000
CORPUS = {
    "name": "made",
    "role": "speech",
    "description": "d",
    "homepage": "https://example.org",
    "license": "CC0-1.0",
    "citation": "c",
    "sources": [{"type": "folder", "path": "/nowhere"}],
    "layout": {"type": "librispeech"},
}


def make_spec(**fields: Any) -> SimulationSpec:
    base = {"name": "talks", "description": "d", "corpora": [CORPUS], "train": 6}
    return SimulationSpec.model_validate_json(json.dumps(base | fields))


def voices(count: int = 6, each: int = 3) -> list[Spoken]:
    """Speech of several speakers: bursts of a tone of their own, with a pause of 0.6 s and silent edges."""
    spoken = []
    for number in range(count):
        for take in range(each):
            times = np.arange(round((1.6 + 0.2 * take) * RATE)) / RATE
            tone = 0.2 * np.sin(2 * np.pi * (300 + 150 * number) * times)
            middle = len(times) // 2
            tone[:1600] = tone[-1600:] = tone[middle : middle + 9600] = 0
            spoken.append(Spoken(f"v{number}-{take}", f"speaker{number}", tone.astype(np.float32)))
    return spoken


def folders(tmp_path: Path, *, noise: bool = False, rooms: bool = False) -> Folders:
    rng = np.random.default_rng(3)
    speech = write_shards(tmp_path / "speech", voices())
    hiss = [Spoken(f"n{n}", "unknown", (rng.normal(size=RATE) * 0.05).astype(np.float32)) for n in range(2)]
    tails = [
        Spoken(
            f"r{n}",
            "unknown",
            (0.9 * np.r_[1.0, rng.normal(size=4000) * 0.3 * np.exp(-np.arange(4000) / 800)] / 3).astype(np.float32),
        )
        for n in range(2)
    ]
    return Folders(
        {"made": speech},
        (write_shards(tmp_path / "noise", hiss),) if noise else (),
        (write_shards(tmp_path / "rooms", tails),) if rooms else (),
        ("key",),
    )


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0].astype(np.int64)


def turns_of(out: Path, part: str) -> dict[str, list[tuple[float, float, str]]]:
    found: dict[str, list[tuple[float, float, str]]] = {}
    for line in (out / "corpus" / f"{part}.rttm").read_text().splitlines():
        fields = line.split()
        found.setdefault(fields[1], []).append((float(fields[3]), float(fields[3]) + float(fields[4]), fields[7]))
    return found


def tracks_of(out: Path, part: str) -> dict[str, dict[str, np.ndarray]]:
    found: dict[str, dict[str, np.ndarray]] = {}
    for line in (out / "tracks" / f"{part}.tsv").read_text().splitlines()[1:]:
        name, file, speaker = line.split("\t")
        found.setdefault(name, {})[speaker] = read(out / "tracks" / part / name / file)
    return found


@pytest.mark.parametrize("style", ["turns", "independent"])
def test_dry_tracks_have_sound_in_their_turns_alone_and_add_up(tmp_path: Path, style: str) -> None:
    spec = make_spec(style=style, tracks=True, speakers=[2, 4], utterances=[2, 4], train=4)
    facts = build_conversations(spec, folders(tmp_path), tmp_path / "out")
    turns, tracks = turns_of(tmp_path / "out", "train"), tracks_of(tmp_path / "out", "train")
    assert facts.train is not None
    assert facts.train.conversations == len(turns) == len(tracks) == 4
    for name, of_speaker in tracks.items():
        mixture = read(tmp_path / "out" / "corpus" / "train" / f"{name}.flac")
        assert np.array_equal(mixture, sum(of_speaker.values()))
        assert {speaker for *_, speaker in turns[name]} == set(of_speaker)
        for speaker, track in of_speaker.items():
            inside = np.zeros(len(track), dtype=bool)
            for start_s, end_s, who in turns[name]:
                if who == speaker:
                    first, last = round(start_s * RATE), round(end_s * RATE)
                    assert not inside[first:last].any()  # nobody speaks twice at once
                    inside[first:last] = True
                    assert np.abs(track[first : first + 320]).max() > 100
                    assert np.abs(track[last - 320 : last]).max() > 100
            assert not track[~inside].any()


def test_a_room_adds_its_tail_behind_the_turns_and_noise_lies_under_all(tmp_path: Path) -> None:
    spec = make_spec(
        tracks=True, speakers=[2, 2], utterances=[2, 2], train=3, rooms=[CORPUS], noise=[CORPUS], snr_db=[10.0, 10.0]
    )
    build_conversations(spec, folders(tmp_path, noise=True, rooms=True), tmp_path / "out")
    for name, tracks in tracks_of(tmp_path / "out", "train").items():
        mixture = read(tmp_path / "out" / "corpus" / "train" / f"{name}.flac")
        assert np.array_equal(mixture, sum(tracks.values()))
        speech = np.zeros(len(mixture), dtype=np.int64)
        anybody = np.zeros(len(mixture), dtype=bool)
        for speaker in sorted(set(tracks) - {"noise"}):
            reach = np.zeros(len(mixture), dtype=bool)
            for start_s, end_s, who in turns_of(tmp_path / "out", "train")[name]:
                if who == speaker:
                    first, last = round(start_s * RATE), round(end_s * RATE)
                    reach[first : last + 4001] = anybody[first:last] = True
            assert np.abs(tracks[speaker][~reach]).max(initial=0) <= 1
            assert np.abs(tracks[speaker]).max() > 300
            speech += tracks[speaker]
        power, noise = np.mean(speech[anybody] ** 2.0), np.mean(tracks["noise"] ** 2.0)
        assert 10 * np.log10(power / noise) == pytest.approx(10.0, abs=0.1)
        assert np.abs(tracks["noise"]).reshape(-1)[: RATE // 10].max() > 0


def test_the_same_seed_gives_the_same_bytes_with_any_workers_and_after_a_stop(tmp_path: Path) -> None:
    spec = make_spec(tracks=True, speakers=[2, 3], utterances=[1, 2], train=9, dev=1, dev_speakers=0.5)
    given = folders(tmp_path)
    build_conversations(spec, given, tmp_path / "one")
    build_conversations(spec, given, tmp_path / "two", workers=2)
    one, two = digests(tmp_path / "one"), digests(tmp_path / "two")
    spelled = one.pop("talks.yaml"), two.pop("talks.yaml")  # names the folder
    assert spelled[0] != spelled[1]
    assert one == two
    for path in ["simulation.json", "corpus/train/talks-train-000003.flac", "corpus/train.rttm", "talks.yaml"]:
        (tmp_path / "two" / path).unlink()
    build_conversations(spec, given, tmp_path / "two")
    assert {name: digest for name, digest in digests(tmp_path / "two").items() if name != "talks.yaml"} == one
    build_conversations(spec.model_copy(update={"seed": 1}), given, tmp_path / "other")
    name = "corpus/train/talks-train-000000.flac"
    assert digests(tmp_path / "other")[name] != one[name]


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"OUT_EXISTS: the folder holds something else"):
        build_conversations(make_spec(), folders(tmp_path), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_another_name_is_another_simulation(tmp_path: Path) -> None:
    """Conversations and their draws are named after it, so one folder does not hold those of two names."""
    built = build_conversations(make_spec(train=1), folders(tmp_path), tmp_path / "out")
    again = build_conversations(make_spec(train=1, description="other words"), folders(tmp_path), tmp_path / "out")
    assert again == built
    with pytest.raises(UsageError, match=f"OUT_EXISTS: the folder holds {built.key}, "):
        build_conversations(make_spec(train=1, name="chats"), folders(tmp_path), tmp_path / "out")


def test_the_folder_is_read_as_a_corpus_whose_parts_share_no_speaker(tmp_path: Path) -> None:
    spec = make_spec(speakers=[2, 2], utterances=[1, 2], train=3, dev=2, test=2, dev_speakers=0.3, test_speakers=0.3)
    build_conversations(spec, folders(tmp_path), tmp_path / "out")
    layout = RttmLayout(type="rttm", partition_pattern="(?P<part>train|dev|test)/")
    voices_of: dict[str, set[str]] = {}
    for item in read_layout(layout, tmp_path / "out" / "corpus"):
        voices_of.setdefault(item.part, set()).update(who for *_, who in json.loads(item.target or "{}")["turns"])
    assert {part: len(found) for part, found in voices_of.items()} == {"train": 2, "dev": 2, "test": 2}
    assert len(set().union(*voices_of.values())) == 6
    assert (tmp_path / "out" / "listen" / "talks-dev-000001.wav").exists()


def draws(spec: SimulationSpec, count: int) -> list[DrawnConversation]:
    """Drawn alone, no audio: every utterance is 2 s of sound."""
    sources = {f"s{n}": [SourceUtterance(0, n, f"s{n}", 0, 2 * RATE)] for n in range(8)}
    tone = np.full(2 * RATE, 0.1, np.float32)
    return [draw_conversation(spec, f"c{n}", "train", sources, lambda _: tone) for n in range(count)]


def test_pauses_overlap_and_speakers_are_as_the_spec_asks() -> None:
    """240 conversations; each bound is at least four standard deviations of the mean away."""
    pauses = {"type": "exponential", "mean": 0.8}
    overlaps = {"type": "uniform", "low": 0.2, "high": 1.0}
    spec = make_spec(pauses=pauses, overlaps=overlaps, overlap=0.25, stays=0.0, utterances=[4, 6], speakers=[2, 6])
    gaps, found_overlaps = [], []
    drawn = draws(spec, 240)
    for it in drawn:
        end = 0
        for place in it.placed:
            if end:
                (gaps if place.at >= end else found_overlaps).append(abs(place.at - end) / RATE)
            end = max(end, place.at + place.length)
    share = len(found_overlaps) / (len(gaps) + len(found_overlaps))
    assert len(gaps) + len(found_overlaps) > 4000
    assert share == pytest.approx(0.25, abs=0.04)
    assert np.mean(gaps) == pytest.approx(0.8, abs=0.06)
    assert np.std(gaps) == pytest.approx(0.8, abs=0.1)  # an exponential's deviation is its mean
    assert np.mean(found_overlaps) == pytest.approx(0.6, abs=0.03)
    assert 0.2 <= min(found_overlaps) <= max(found_overlaps) <= 1.0
    counts = np.bincount([len(it.speakers) for it in drawn], minlength=7)[2:]
    assert counts.min() > 23  # 48 are expected
    assert all({who for *_, who in it.turns} == set(it.speakers) for it in drawn)


def test_independent_speakers_overlap_as_often_as_chance_has_it() -> None:
    """A speaker of 2 s utterances and pauses of 2 s on average speaks half of the time, two at once a quarter of it."""
    spec = make_spec(
        style="independent", pauses={"type": "exponential", "mean": 2.0}, utterances=[40, 40], speakers=[2, 2]
    )
    found = draws(spec, 40)
    # Only where both go on: the end of the longer one is left out.
    both = sum(seconds_with(it, 2) for it in found)
    anybody = sum(seconds_with(it, 1) for it in found)
    total = sum(it.num_samples for it in found) / RATE
    assert both / total == pytest.approx(0.25, abs=0.04)
    assert anybody / total == pytest.approx(0.75, abs=0.04)


def test_speakers_without_sound_or_too_few_of_them_are_refused(tmp_path: Path) -> None:
    silent = [Spoken(f"v{n}", f"s{n}", np.zeros(8000, np.float32)) for n in range(3)]
    given = Folders({"made": write_shards(tmp_path / "silent", silent)}, keys=("key",))
    with pytest.raises(BadDataError, match=r"TARGET_BAD: 20 recordings in a row of the speaker made/s"):
        build_conversations(make_spec(speakers=[2, 2]), given, tmp_path / "a")
    with pytest.raises(BadDataError, match=r"SPLIT_EMPTY: 3 speakers are too few: .* part train have up to 6"):
        build_conversations(make_spec(), given, tmp_path / "b")
