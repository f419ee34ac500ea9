"""Speech of a synthesiser as a corpus: the same bytes each time, the right targets, and what a manner sounds like."""

from __future__ import annotations

import io
import json
import tarfile
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tests.corpus.corpora import spec
from tests.corpus.made.made import VERSION, make_alone, source
from wavlm.corpus.build import build_corpus
from wavlm.corpus.made import espeak
from wavlm.corpus.made.archive import make_archive
from wavlm.corpus.made.sentences import list_recordings
from wavlm.corpus.manifest import read_manifest
from wavlm.corpus.targets import read_targets
from wavlm.errors import BadDataError, ServiceMissingError
from wavlm.execution.progress import no_progress
from wavlm.specs import CorpusSpec, MadeSource
from wavlm.specs.layouts import GenericLayout
from wavlm.specs.made import MannerSpec
from wavlm.specs.yaml import read_corpus

ROOT = Path(__file__).parents[3]
SHIPPED = ("made-commands", "made-emotions", "made-requests")
LAYOUT = GenericLayout(
    type="generic",
    audio="**/*.wav",
    transcripts="targets.tsv",
    id_column="path",
    speaker_column="speaker",
    partition_column="part",
    target_column="target",
    max_left_over_rows=0.0,
    max_without_row=0.0,
)


def corpus_of(made: MadeSource) -> CorpusSpec:
    return spec(sources=(made,), layout=LAYOUT, role="evaluation")


def made_of(name: str) -> MadeSource:
    found = read_corpus(ROOT / f"data_specs/corpora/{name}.yaml").sources[0]
    assert isinstance(found, MadeSource)
    return found


def test_a_source_becomes_a_corpus_with_parts_voices_texts_and_targets(tmp_path: Path) -> None:
    made = source(sha256=make_alone(source(), tmp_path / "once.tar"))
    downloads, out = tmp_path / "downloads", tmp_path / "out"
    facts = build_corpus(corpus_of(made), downloads, out, no_progress)  # a second process makes the same bytes
    assert [path.name for path in downloads.glob("[!.]*.tar")] == [f"{made.sha256}.tar"]
    assert (facts.utterances, facts.speakers, facts.with_target) == (12, 3, 12)
    rows, targets = {row.key: row for row in read_manifest(out)}, read_targets(out).by_key
    parts = {(targets[key].part, row.speaker) for key, row in rows.items()}
    assert parts == {("train", "en-us+f3"), ("train", "en+m1"), ("test", "en-gb-scotland+m2")}
    for key, row in rows.items():
        fields, text = targets[key].fields, row.text
        room = next((word for word in ("kitchen", "garden") if text and word in text), None)
        if room:
            assert text in (f"light in the {room} at seven", f"please light in the {room} at seven")
            assert fields == {
                "intent": {"action": "on", "place": room},
                "slots": [["room", room], ["time", "at seven"]],
            }
        else:
            assert (text, fields) == ("all dark", {"intent": {"action": "off", "place": "none"}, "slots": []})
        assert row.sample_rate_hz == 22050
        assert 0.3 < row.num_samples / row.sample_rate_hz < 3
    assert len({row.sha256 for row in rows.values()}) == 12

    path = downloads / made.file_name
    path.write_bytes(path.read_bytes()[:-700] + b"x" * 700)
    again = tmp_path / "again"
    build_corpus(corpus_of(made), downloads, again, no_progress)  # a damaged archive is made anew
    assert (again / "manifest.parquet").read_bytes() == (out / "manifest.parquet").read_bytes()


def test_other_speech_than_the_spec_pins_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    made = source(per_voice=1)
    with pytest.raises(BadDataError, match=f"MADE_OTHERWISE: .* expected {made.sha256}"):
        make_archive(made, tmp_path, no_progress)
    assert not list(tmp_path.glob("*.tar*[!k]"))


def test_a_voice_that_the_synthesiser_does_not_have_is_named(tmp_path: Path) -> None:
    made = source(voices={"test": ("en-us+nobody",)})
    with pytest.raises(BadDataError, match="VOICE_UNKNOWN: espeak-ng has no voice en-us\\+nobody"):
        make_archive(made, tmp_path, no_progress)


def test_a_synthesiser_that_is_missing_or_of_another_version_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServiceMissingError, match=f"PACKAGE_MISSING: found espeak-ng {VERSION}, expected 1.50"):
        make_archive(source(version="1.50"), tmp_path, no_progress)
    monkeypatch.setattr(espeak, "PACKAGE", "no_such_package")
    with pytest.raises(ServiceMissingError, match=r"PACKAGE_MISSING: .*pip install 'wavlm-pipeline\[evaluation\]'"):
        espeak.find_library()


def test_what_a_manner_says_can_be_heard(tmp_path: Path) -> None:
    """Loudness, length and pitch are measured on the sound itself."""
    plain = {"words_per_minute": 160, "pitch": 40, "pitch_range": 30, "volume": 80, "spread": 0}
    manners = {
        "plain": plain,
        "fast": {**plain, "words_per_minute": 320},
        "high": {**plain, "pitch": 90},
        "loud": {**plain, "volume": 160},
        "lively": {**plain, "pitch_range": 99},
    }
    made = source(voices={"test": ("en+m1",)}, sentences=({"text": "we are all far away now"},), per_voice=5)
    made = made.model_copy(update={"manners": {name: MannerSpec.model_validate(it) for name, it in manners.items()}})
    make_alone(made, tmp_path / "made.tar")
    sounds = {json.loads(it.target)["class"]: read_wav(tmp_path / "made.tar", it.path) for it in list_recordings(made)}
    assert len(sounds["fast"]) < 0.7 * len(sounds["plain"])
    assert rms(sounds["loud"]) > 1.5 * rms(sounds["plain"])
    assert np.median(pitches(sounds["high"])) > 1.3 * np.median(pitches(sounds["plain"]))
    assert np.std(pitches(sounds["lively"])) > 1.5 * np.std(pitches(sounds["plain"]))


def read_wav(archive: Path, name: str) -> np.ndarray:
    with tarfile.open(archive) as tar:
        member = tar.extractfile(name)
        assert member
        with wave.open(io.BytesIO(member.read())) as file:
            return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)


def rms(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(sound**2)))


def pitches(sound: np.ndarray) -> list[float]:
    """The pitch in Hz of each voiced piece of 50 ms: the lag of the largest autocorrelation from 60 to 400 Hz."""
    found, size = [], 1102
    for begin in range(0, len(sound) - size, size):
        piece = sound[begin : begin + size] - sound[begin : begin + size].mean()
        lags = np.correlate(piece, piece, "full")[size - 1 :]
        best = 55 + int(np.argmax(lags[55:367]))
        if rms(piece) > 0.3 * rms(sound) and lags[best] > 0.5 * lags[0]:
            found.append(22050 / best)
    return found


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sources_have_each_class_in_each_part_and_slots_in_the_order_of_the_text(name: str) -> None:
    made = made_of(name)
    spoken = list(list_recordings(made))
    assert len(spoken) == sum(map(len, made.voices.values())) * made.per_voice
    voices = {part: {it.voice for it in spoken if it.part == part} for part in ("train", "dev", "test")}
    assert not voices["train"] & voices["test"]
    assert not voices["dev"] & (voices["train"] | voices["test"])
    classes = {part: Counter[str]() for part in voices}
    for it in spoken:
        target, rest = json.loads(it.target), it.text
        for _, value in target["slots"]:
            before, found, rest = rest.partition(value)
            assert found, it
            assert not before.endswith(value)
        classes[it.part][json.dumps([target.get("intent"), target.get("class")])] += 1
    assert set(classes["test"]) <= set(classes["train"])
    assert set(classes["dev"]) <= set(classes["train"])
    if name == "made-emotions":
        assert set(classes["test"].values()) == {64}  # as often as any other
        said = {(it.voice, it.text, json.loads(it.target)["class"]) for it in spoken}
        assert len(said) == len(spoken)  # each voice says each sentence in each manner: no sentence tells the manner


@pytest.mark.full
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sources_make_what_they_pin(name: str, tmp_path: Path) -> None:
    """The library is a build for each kind of processor; the digests are those of x86-64."""
    make_archive(made_of(name), tmp_path, no_progress)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"voices": {"train": ("en+m1",), "test": ("en+m1",)}}, "en[+]m1 is named twice"),
        ({"voices": {"train": ()}}, "the part train has no voice"),
        ({"values": {"room": ("kitchen",)}}, "the blank time is neither"),
        ({"values": {"room": ("kitchen",), "time": ("now\nthen",)}}, "texts of one line"),
        ({"values": {"room": ("kitchen",), "time": (" ",)}}, "texts of one line"),
        ({"fillers": {"please": ("",), "room": ("x",)}}, "the blank room is among values and fillers"),
        ({"sentences": ({"text": "{room} {room}"},)}, "a blank stands in it twice"),
        ({"sentences": ({"text": "a {Room}"},)}, "braces around names of blanks alone"),
        ({"sentences": ({"text": "a", "intent": {"action": "{room}"}},)}, "names a blank that is not in the text"),
        ({"sentences": ({"text": "a", "intent": {"action": "x"}}, {"text": "b"})}, "the same names in the intents"),
    ],
)
def test_a_source_that_would_say_something_else_than_its_targets_is_refused(
    fields: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        source(**fields)
