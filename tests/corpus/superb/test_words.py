"""Corpora of which a task predicts one of several classes: words, intents, slots and emotions."""

import csv
from pathlib import Path

import pytest

from tests.corpus.layouts.trees import read, write
from tests.corpus.superb.speech import build, classes, said, speak
from wavlm.corpus.manifest import read_manifest
from wavlm.corpus.targets import read_targets
from wavlm.errors import BadDataError

MAIN, TEST = "speech_commands_v0.01", "speech_commands_test_set_v0.01"


def commands(root: Path) -> Path:
    words = ("yes/a1_nohash_0", "yes/a1_nohash_1", "yes/b2_nohash_0", "bed/c3_nohash_0", "bed/d4_nohash_0")
    speak(root, *(f"{MAIN}/{name}.wav" for name in words))
    speak(root, f"{MAIN}/_background_noise_/tap.wav", seconds=5.3)
    tests = ("yes/e5_nohash_0", "_unknown_/bird_48a8a69d_nohash_0.wav", "_silence_/0")
    speak(root, *(f"{TEST}/{name}.wav" for name in tests))
    write(root, f"{MAIN}/validation_list.txt", "yes/a1_nohash_0.wav\nyes/a1_nohash_1.wav\n")
    return write(root, f"{MAIN}/testing_list.txt", "bed/d4_nohash_0.wav\n")


def test_speech_commands_have_twelve_classes_and_the_test_set_of_its_archive(tmp_path: Path) -> None:
    found = read(commands(tmp_path), type="speech-commands", noise_seconds=0.5)
    assert {key: value for key, value in classes(found).items() if "tap" not in key} == {
        "dev__yes__a1_nohash_0": ("dev", "yes"),
        "dev__yes__a1_nohash_1": ("dev", "yes"),
        "train__yes__b2_nohash_0": ("train", "yes"),
        "train__bed__c3_nohash_0": ("train", "_unknown_"),
        "test__yes__e5_nohash_0": ("test", "yes"),
        "test___unknown_x5f__bird_48a8a69d_nohash_0_x2ewav": ("test", "_unknown_"),
        "test___silence_x5f__0": ("test", "_silence_"),
    }
    pieces = [(item.start_s, item.end_s, item.part) for item in found if "tap" in item.key]
    assert pieces == [(number * 0.5 or None, number * 0.5 + 0.5, "train") for number in range(9)] + [(4.5, 5.0, "dev")]
    speakers = {item.path.name.partition(".")[0]: item.speaker for item in found}
    assert (speakers["b2_nohash_0"], speakers["0"]) == ("b2", "unknown")
    assert speakers["bird_48a8a69d_nohash_0"] == "48a8a69d"
    assert found.files.count("excluded") == 1  # the file of testing_list.txt


def test_without_a_test_set_archive_the_publishers_list_is_the_test_set(tmp_path: Path) -> None:
    found = read(commands(tmp_path), type="speech-commands", test_root="", noise_seconds=0.0)
    assert {item.path.stem for item in found if item.part == "test"} == {"d4_nohash_0"}
    assert not any("tap" in item.key for item in found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (f"{MAIN}/validation_list.txt", "no file speech_commands_v0.01/validation_list.txt"),
        (f"{MAIN}/testing_list.txt", "no file speech_commands_v0.01/testing_list.txt"),
    ],
)
def test_speech_commands_without_a_list_are_refused(tmp_path: Path, change: str, message: str) -> None:
    (commands(tmp_path) / change).unlink()
    with pytest.raises(BadDataError) as caught:
        read(tmp_path, type="speech-commands")
    assert message in str(caught.value)


def test_a_list_that_names_other_files_and_an_unknown_class_are_refused(tmp_path: Path) -> None:
    commands(tmp_path)
    write(tmp_path, f"{MAIN}/validation_list.txt", "yes/gone.wav\n")
    with pytest.raises(BadDataError, match=r"TABLE_JOIN.*line 1: yes/gone\.wav"):
        read(tmp_path, type="speech-commands")
    commands(tmp_path)
    speak(tmp_path, f"{TEST}/marvin/a1_nohash_0.wav")
    with pytest.raises(BadDataError, match="a folder marvin in the test set, expected one of _silence_"):
        read(tmp_path, type="speech-commands")


def test_a_noise_that_is_no_wav_file_is_refused(tmp_path: Path) -> None:
    commands(tmp_path)
    (tmp_path / MAIN / "_background_noise_/tap.wav").write_bytes(b"RIFF")
    with pytest.raises(BadDataError, match=r"no WAV file of PCM.*tap\.wav"):
        read(tmp_path, type="speech-commands")


FLUENT = ["", "path", "speakerId", "transcription", "action", "object", "location"]


def fluent(root: Path, rows: dict[str, list[list[str]]]) -> Path:
    for part in ("train", "valid", "test"):
        path = root / f"data/{part}_data.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([FLUENT, *([str(at), *row] for at, row in enumerate(rows.get(part, [])))])
    return root


def test_fluent_commands_have_intents_texts_and_speakers(tmp_path: Path) -> None:
    names = [f"wavs/speakers/{speaker}/{number}.wav" for speaker in ("2BqV", "4aGj") for number in ("0a", "0b")]
    speak(tmp_path / "raw", *names)
    rows = {
        "train": [[names[0], "2BqV", "Turn on the lights, please", "activate", "lights", "none"]],
        "valid": [[names[1], "2BqV", "Louder", "increase", "volume", "none"]],
        "test": [[names[2], "4aGj", "Lights off", "deactivate", "lights", "kitchen"]],
    }
    out = build(fluent(tmp_path / "raw", rows), tmp_path / "out", type="fluent-commands")
    assert {key: (target.part, target.fields) for key, target in read_targets(out)} == {
        "train__2BqV__0a": ("train", {"intent": {"action": "activate", "object": "lights", "location": "none"}}),
        "valid__2BqV__0b": ("valid", {"intent": {"action": "increase", "object": "volume", "location": "none"}}),
        "test__4aGj__0a": ("test", {"intent": {"action": "deactivate", "object": "lights", "location": "kitchen"}}),
    }
    texts = {row.key: (row.speaker, row.text) for row in read_manifest(out)}
    assert texts["train__2BqV__0a"] == ("2BqV", "Turn on the lights, please")


def test_fluent_commands_with_an_empty_slot_or_without_audio_are_refused(tmp_path: Path) -> None:
    speak(tmp_path, "wavs/speakers/a/1.wav")
    fluent(tmp_path, {"train": [["wavs/speakers/a/1.wav", "a", "Louder", "increase", "", "none"]]})
    with pytest.raises(BadDataError, match=r"line 2: intent is .*train_data\.csv"):
        read(tmp_path, type="fluent-commands")
    fluent(tmp_path, {"train": [["wavs/speakers/a/2.wav", "a", "Louder", "increase", "volume", "none"]]})
    with pytest.raises(BadDataError, match=r"TABLE_JOIN: 1 of 1 rows name audio that is not there.*a/2\.wav"):
        read(tmp_path, type="fluent-commands")
    (tmp_path / "data/test_data.csv").unlink()
    fluent_rows = {"train": [["wavs/speakers/a/1.wav", "a", "Louder", "increase", "volume", "none"]]}
    fluent(tmp_path, fluent_rows)
    (tmp_path / "data/test_data.csv").unlink()
    with pytest.raises(BadDataError, match=r"no file data/test_data\.csv"):
        read(tmp_path, type="fluent-commands")


SNIPS = [
    "Ivy-snips-train-0 BOS ADD BIG BAND TO MY LIST EOS\tO O entity_name entity_name O playlist_owner O AddToPlaylist",
    "Aditi-snips-valid-0 BOS PLAY , PLEASE EOS\tO O O O PlayMusic",
    "Brian-snips-test-0 BOS RATE SIX . STARS EOS\tO O rating_value O rating_unit RateBook",
    "Salli-snips-test-0 BOS RATE IT EOS\tO O O RateBook",
]


def snips(root: Path, lines: list[str]) -> Path:
    names = [line.split()[0] for line in lines]
    speak(root, *(f"{name.split('-')[2]}/{name}.wav" for name in names))
    return write(root, "all.iob.snips.txt", "".join(f"{line}\n" for line in lines))


def test_audio_snips_have_slots_of_neighbours_and_the_voices_of_their_part(tmp_path: Path) -> None:
    found = read(snips(tmp_path, SNIPS), type="audio-snips")
    assert said(found) == {
        "Ivy-snips-train-0": (
            "train",
            "Ivy",
            {"class": "AddToPlaylist", "slots": [["entity_name", "BIG BAND"], ["playlist_owner", "MY"]]},
        ),
        "Aditi-snips-valid-0": ("valid", "Aditi", {"class": "PlayMusic", "slots": []}),
        "Brian-snips-test-0": (
            "test",
            "Brian",
            {"class": "RateBook", "slots": [["rating_value", "SIX"], ["rating_unit", "STARS"]]},
        ),
    }
    assert {item.key: item.text for item in found}["Brian-snips-test-0"] == "RATE SIX STARS"
    assert found.files.count("excluded") == 1  # Salli is a voice of the training set


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Ivy-snips-train-0 BOS PLAY EOS\tO O O PlayMusic", "line 1: 3 words and 4 slots"),
        ("Ivy-snips-train-0 BOS PLAY EOS O O PlayMusic", "line 1:"),
        ("Ivy-snips-train-0 BOS EOS\tO PlayMusic", "line 1: 2 words"),
        ("Ivy-snips-train-0 BOS . EOS\tO O PlayMusic", "line 1: no word"),
    ],
)
def test_a_line_of_audio_snips_that_cannot_be_is_refused(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(BadDataError, match="LAYOUT") as caught:
        read(snips(tmp_path, [line]), type="audio-snips")
    assert message in str(caught.value)


def test_audio_snips_without_a_line_or_without_the_list_are_refused(tmp_path: Path) -> None:
    snips(tmp_path, SNIPS)
    speak(tmp_path, "train/Ivy-snips-train-7.wav")
    with pytest.raises(BadDataError, match="no line of Ivy-snips-train-7"):
        read(tmp_path, type="audio-snips")
    (tmp_path / "all.iob.snips.txt").unlink()
    with pytest.raises(BadDataError, match=r"no file all\.iob\.snips\.txt"):
        read(tmp_path, type="audio-snips")


def emotion(name: str, label: str) -> str:
    return f"[6.2901 - 8.2357]\t{name}\t{label}\t[2.5000, 2.5000, 2.5000]\n"


def iemocap(root: Path, labels: dict[str, str]) -> Path:
    header = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
    for name, label in labels.items():
        session, dialog = f"Session{name[4]}", name.rpartition("_")[0]
        speak(root, f"{session}/sentences/wav/{dialog}/{name}.wav")
        path = f"{session}/dialog/EmoEvaluation/{dialog}.txt"
        before = (root / path).read_text() if (root / path).exists() else header
        notes = "C-E2:\tNeutral;\t()\nA-M1:\tval 2; act 2;\t()\n\n"
        write(root, path, before + emotion(name, label) + notes)
        write(root, f"{session}/dialog/transcriptions/{dialog}.txt", f"{name} [006.2901-008.2357]: Excuse me.\n")
    return root


def test_iemocap_has_four_classes_and_a_fold_per_session(tmp_path: Path) -> None:
    labels = {
        "Ses01F_impro01_F000": "neu",
        "Ses01F_impro01_M000": "exc",
        "Ses03M_script01_1_F001": "hap",
        "Ses05M_impro02_M003": "fru",
        "Ses05M_impro02_F004": "sad",
        "Ses05M_impro02_F005": "xxx",
    }
    speak(tmp_path, "Session1/dialog/wav/Ses01F_impro01.wav")  # a whole dialog
    found = read(iemocap(tmp_path, labels), type="iemocap")
    assert said(found) == {
        "Ses01F_impro01_F000": ("fold1", "Ses01_F", {"class": "neu"}),
        "Ses01F_impro01_M000": ("fold1", "Ses01_M", {"class": "hap"}),
        "Ses03M_script01_1_F001": ("fold3", "Ses03_F", {"class": "hap"}),
        "Ses05M_impro02_F004": ("fold5", "Ses05_F", {"class": "sad"}),
    }
    assert {item.text for item in found} == {"Excuse me.", None}
    assert (found.files.count("excluded"), found.files.count("not-matched")) == (2, 0)


def test_iemocap_with_an_unknown_label_or_without_labels_is_refused(tmp_path: Path) -> None:
    iemocap(tmp_path / "one", {"Ses01F_impro01_F000": "joy"})
    with pytest.raises(BadDataError, match=r"line 3: found .*joy.*Ses01F_impro01\.txt"):
        read(tmp_path / "one", type="iemocap")
    speak(tmp_path / "other", "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav")
    with pytest.raises(BadDataError, match="no file Session<n>/dialog/EmoEvaluation"):
        read(tmp_path / "other", type="iemocap")
    iemocap(tmp_path / "one", {"Ses02F_impro01_F000": "ang"})
    (tmp_path / "one/Session1/dialog/EmoEvaluation/Ses01F_impro01.txt").write_text("")
    with pytest.raises(BadDataError, match="classes names the labels angry"):
        read(tmp_path / "one", type="iemocap", classes={"angry": "ang"})
