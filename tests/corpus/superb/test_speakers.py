"""Corpora whose tasks are about pairs: of voices, and of spoken queries with recordings."""

from pathlib import Path

import pytest

from tests.corpus.audio.recordings import recording
from tests.corpus.corpora import of_folder
from tests.corpus.layouts.trees import layout_of, read, write
from tests.corpus.superb.speech import build, speak
from wavlm.corpus.build import build_corpus
from wavlm.corpus.manifest import read_manifest
from wavlm.corpus.targets import read_targets, read_trials
from wavlm.errors import BadDataError
from wavlm.execution.progress import no_progress

VOICES = {
    "dev": ("id10001/1zcIwhmdeo4/00001.wav", "id10001/1zcIwhmdeo4/00002.wav", "id10002/0_laIeN-Q44/00001.wav"),
    "test": ("id10270/5r0dWxy17C8/00001.wav", "id10270/x6uYqmx31kE/00001.wav", "id10300/ize_eiCFEg0/00003.wav"),
}
SPLIT = "".join(
    f"{part} {name}\n" for part, name in zip((1, 1, 2, 3, 1, 2), (*VOICES["dev"], *VOICES["test"]), strict=True)
)
TRIALS = f"1 {VOICES['test'][0]} {VOICES['test'][1]}\n0 {VOICES['test'][0]} {VOICES['test'][2]}\n"


def voxceleb(root: Path) -> Path:
    speak(root, *(f"{folder}/wav/{name}" for folder, names in VOICES.items() for name in names))
    write(root, "iden_split.txt", SPLIT)
    write(root, "veri_test.txt", TRIALS)
    return write(root, "list_test_hard2.txt", f"0 {VOICES['dev'][0]} {VOICES['dev'][2]}\n")


def test_voxceleb_for_verification_has_the_publishers_halves_and_lists_by_their_names(tmp_path: Path) -> None:
    lists = ["veri_test.txt", "list_test_hard2.txt"]
    out = build(voxceleb(tmp_path / "raw"), tmp_path / "out", type="voxceleb", partition="verification", trials=lists)
    targets = read_targets(out)
    assert targets.part_of("test") == (
        "id10270__5r0dWxy17C8__00001",
        "id10270__x6uYqmx31kE__00001",
        "id10300__ize_eiCFEg0__00003",
    )
    trials = read_trials(out)
    assert trials.names == ("vox1-o", "vox1-h-cleaned")
    original = trials.of("vox1-o")
    assert list(zip(original.enrol, original.test, original.is_target.tolist(), strict=True)) == [
        ("id10270__5r0dWxy17C8__00001", "id10270__x6uYqmx31kE__00001", True),
        ("id10270__5r0dWxy17C8__00001", "id10300__ize_eiCFEg0__00003", False),
    ]


def test_voxceleb_for_identification_has_the_partitions_of_its_list(tmp_path: Path) -> None:
    found = read(voxceleb(tmp_path), type="voxceleb", partition="identification")
    assert {item.key: (item.part, item.speaker) for item in found} == {
        "id10001__1zcIwhmdeo4__00001": ("train", "id10001"),
        "id10001__1zcIwhmdeo4__00002": ("train", "id10001"),
        "id10002__0_laIeN-Q44__00001": ("dev", "id10002"),
        "id10270__5r0dWxy17C8__00001": ("test", "id10270"),
        "id10270__x6uYqmx31kE__00001": ("train", "id10270"),
        "id10300__ize_eiCFEg0__00003": ("dev", "id10300"),
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 id10270/5r0dWxy17C8/00001.wav id10270/gone/00009.wav", "line 3: a trial names id10270/gone/00009.wav"),
        ("2 id10270/5r0dWxy17C8/00001.wav id10270/x6uYqmx31kE/00001.wav", "line 3: is_target is '2'"),
        ("1 id10270/5r0dWxy17C8/00001.wav", "line 3: 2 fields"),
    ],
)
def test_a_trial_of_voxceleb_that_cannot_be_scored_is_refused(tmp_path: Path, line: str, message: str) -> None:
    voxceleb(tmp_path / "raw")
    write(tmp_path / "raw", "veri_test.txt", f"{TRIALS}{line}\n")
    with pytest.raises(BadDataError, match="LAYOUT") as caught:
        build(tmp_path / "raw", tmp_path / "out", type="voxceleb", partition="verification", trials=["veri_test.txt"])
    assert message in str(caught.value)


def test_a_split_of_voxceleb_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    voxceleb(tmp_path)
    write(tmp_path, "iden_split.txt", f"{SPLIT}1 id10001/gone/00001.wav\n")
    with pytest.raises(BadDataError, match="TABLE_JOIN: 1 of 7 rows"):
        read(tmp_path, type="voxceleb", partition="identification")
    write(tmp_path, "iden_split.txt", f"4 {VOICES['dev'][0]}\n")
    with pytest.raises(BadDataError, match=r"line 1: found 4 id10001.*iden_split\.txt"):
        read(tmp_path, type="voxceleb", partition="identification")
    (tmp_path / "iden_split.txt").unlink()
    with pytest.raises(BadDataError, match=r"no file iden_split\.txt"):
        read(tmp_path, type="voxceleb", partition="identification")


def test_recordings_that_the_split_does_not_name_are_missed_and_not_forgotten(tmp_path: Path) -> None:
    voxceleb(tmp_path)
    write(tmp_path, "iden_split.txt", SPLIT.partition("\n")[2])
    found = read(tmp_path, type="voxceleb", partition="identification")
    assert found.files.count("no-row") == 1


def test_voxceleb2_is_training_data_in_mpeg_4(tmp_path: Path) -> None:
    """The publisher's dev set, as its archives unpack; no speaker of it has a number of VoxCeleb1's."""
    names = ("id00012/21Uxsk56VDQ/00001.m4a", "id00012/21Uxsk56VDQ/00002.m4a", "id09272/u7VNkYraCw0/00027.m4a")
    for number, name in enumerate(names):
        path = tmp_path / "raw/dev/aac" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(recording("M4A, AAC", number, seconds=0.5))
    out = build(tmp_path / "raw", tmp_path / "out", type="voxceleb", partition="training")
    rows = read_manifest(out)
    assert [(row.key, row.speaker) for row in rows] == [
        ("id00012__21Uxsk56VDQ__00001", "id00012"),
        ("id00012__21Uxsk56VDQ__00002", "id00012"),
        ("id09272__u7VNkYraCw0__00027", "id09272"),
    ]
    assert read_targets(out).part_of("train") == tuple(row.key for row in rows)


def test_voxceleb_outside_of_the_publishers_folders_has_no_halves(tmp_path: Path) -> None:
    speak(tmp_path, f"wav/{VOICES['dev'][0]}")
    with pytest.raises(BadDataError, match="lies in neither of the folders dev and test"):
        read(tmp_path, type="voxceleb", partition="verification")


def test_a_publishers_test_set_is_not_trained_on_where_its_corpus_is(tmp_path: Path) -> None:
    layout = layout_of(type="voxceleb", partition="verification")
    spec = of_folder(voxceleb(tmp_path / "raw"), layout, max_left_out=0.0)
    facts = build_corpus(spec, tmp_path / "downloads", tmp_path / "out", no_progress)
    assert {row.key.partition("__")[0]: row.split for row in read_manifest(tmp_path / "out")} == {
        "id10001": "train",
        "id10002": "train",
    }
    assert facts.excluded["TEST_SPLIT"].recordings == 3
    assert not (tmp_path / "out/targets.parquet").exists()


def test_voxceleb_with_two_copies_of_a_recording_is_refused(tmp_path: Path) -> None:
    speak(tmp_path, f"dev/wav/{VOICES['dev'][0]}", f"test/wav/{VOICES['dev'][0]}")
    with pytest.raises(BadDataError, match="are one recording of the lists"):
        read(tmp_path, type="voxceleb", partition="verification")


def quesst(root: Path) -> Path:
    base = "quesst14Database"
    audio = [f"Audio/quesst14_0000{number}.wav" for number in (1, 2, 3)]
    queries = [
        "dev_queries/quesst14_dev_001.wav",
        "dev_queries/quesst14_dev_002.wav",
        "eval_queries/quesst14_eval_001.wav",
    ]
    speak(root / base, *audio, *queries)
    languages = ["nnenglish", "nnenglish", "czech"]
    lists = {"utterances": zip(audio, languages, strict=True), "dev": zip(queries[:2], languages[1:], strict=True)}
    for name, rows in {**lists, "eval": [(queries[2], "nnenglish")]}.items():
        text = "".join(f"{base}/{path} {language}\n" for path, language in rows)
        write(root, f"{base}/scoring/language_key_{name}.lst", text)
    answers = {"dev": [("00001", "dev_001"), ("00003", "dev_002")], "eval": [("00002", "eval_001")]}
    for part, pairs in answers.items():
        text = "".join(f"LEXEME quesst14_{doc} 1 0 1.5 quesst14_{query} lex quesst14 0.5\n" for doc, query in pairs)
        write(root, f"{base}/scoring/groundtruth_quesst14_{part}/quesst14_{part}.rttm", f"SPKR-INFO x\n{text}")
    return root


def test_quesst_pairs_each_query_of_a_language_with_each_utterance_of_it(tmp_path: Path) -> None:
    out = build(quesst(tmp_path / "raw"), tmp_path / "out", type="quesst", root="quesst14Database")
    trials = read_trials(out)
    assert list(zip(trials.lists, trials.enrol, trials.test, trials.is_target.tolist(), strict=True)) == [
        ("dev", "quesst14_dev_001", "quesst14_00001", True),
        ("dev", "quesst14_dev_001", "quesst14_00002", False),
        ("eval", "quesst14_eval_001", "quesst14_00001", False),
        ("eval", "quesst14_eval_001", "quesst14_00002", True),
    ]
    assert sorted(read_targets(out).parts) == ["dev", "eval", "utterances", "utterances"]


def test_quesst_of_all_languages_has_all_answers(tmp_path: Path) -> None:
    out = build(quesst(tmp_path / "raw"), tmp_path / "out", type="quesst", root="quesst14Database", languages=[])
    trials = read_trials(out)
    assert len(trials) == 9
    assert int(trials.is_target.sum()) == 3


def test_quesst_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    raw = quesst(tmp_path / "raw") / "quesst14Database"
    layout = {"type": "quesst", "root": "quesst14Database"}
    with pytest.raises(BadDataError, match=r"no recording of the languages klingon.*utterances\.lst"):
        read(tmp_path / "raw", **layout, languages=["klingon"])
    rttm = raw / "scoring/groundtruth_quesst14_eval/quesst14_eval.rttm"
    rttm.write_text("SPKR-INFO x\n")
    with pytest.raises(BadDataError, match=r"no line LEXEME.*quesst14_eval\.rttm"):
        build(tmp_path / "raw", tmp_path / "out", **layout)
    before = (raw / "scoring/language_key_dev.lst").read_text()
    write(raw, "scoring/language_key_dev.lst", "quesst14_dev_001.wav\n")
    with pytest.raises(BadDataError, match=r"line 1: found quesst14_dev_001\.wav"):
        read(tmp_path / "raw", **layout)
    write(raw, "scoring/language_key_dev.lst", before)
    (raw / "Audio/quesst14_00002.wav").unlink()
    with pytest.raises(BadDataError, match="TABLE_JOIN: 1 of 2 rows name audio that is not there"):
        read(tmp_path / "raw", **layout)
