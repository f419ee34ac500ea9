"""Corpora of which a task predicts phones, words or translations."""

import json
from pathlib import Path

import pytest

from tests.corpus.layouts.trees import read, write
from tests.corpus.superb.speech import build, said, speak
from wavlm.corpus.layouts.sbcsae import normalize
from wavlm.corpus.manifest import read_manifest
from wavlm.corpus.targets import read_targets
from wavlm.errors import BadDataError

CHAPTER = "LibriSpeech/test-clean/1188/133604/1188-133604"


def librispeech(root: Path) -> Path:
    other = "LibriSpeech/dev-clean/121/127105/121-127105"
    speak(root, f"{CHAPTER}-0006.flac", f"{CHAPTER}-0042.flac", f"{other}-0004.flac")
    write(root, f"{CHAPTER}.trans.txt", "1188-133604-0006 THE CAT\n1188-133604-0042 A CAT'S\n")
    write(root, f"{other}.trans.txt", "121-127105-0004 THE\n")
    write(root, "first.txt", "THE\tDH AH0\nTHE DH IY0\nA AH0\n")
    return write(root, "second.txt", "A EY1\nCAT  K AE1 T\nCAT'S K AE1 T S\n")


def test_phones_of_words_are_those_of_the_first_lexicon_and_of_its_first_line(tmp_path: Path) -> None:
    lexicon = ["first.txt", "second.txt"]
    found = read(librispeech(tmp_path), type="librispeech", root="LibriSpeech", lexicon=lexicon)
    assert said(found) == {
        "121-127105-0004": ("dev-clean", "121", {"phones": ["DH", "AH0"]}),
        "1188-133604-0006": ("test-clean", "1188", {"phones": ["DH", "AH0", "K", "AE1", "T"]}),
        "1188-133604-0042": ("test-clean", "1188", {"phones": ["AH0", "K", "AE1", "T", "S"]}),
    }


def test_without_a_lexicon_there_are_parts_alone(tmp_path: Path) -> None:
    out = build(librispeech(tmp_path / "raw"), tmp_path / "out", type="librispeech")
    assert [(key, *target) for key, target in read_targets(out)] == [
        ("121-127105-0004", "dev-clean", {}),
        ("1188-133604-0006", "test-clean", {}),
        ("1188-133604-0042", "test-clean", {}),
    ]


def test_a_word_without_phones_is_refused(tmp_path: Path) -> None:
    layout = {"type": "librispeech", "root": "LibriSpeech"}
    with pytest.raises(BadDataError, match=r"2 words of the texts are in no lexicon: CAT, CAT'S; in first\.txt"):
        read(librispeech(tmp_path), **layout, lexicon=["first.txt"])
    write(tmp_path, "first.txt", "THE DH AH0\nA\n")
    with pytest.raises(BadDataError, match=r"no phones of A; in .*first\.txt, line 2"):
        read(tmp_path, **layout, lexicon=["first.txt", "second.txt"])
    with pytest.raises(BadDataError, match=r"no file third\.txt"):
        read(tmp_path, **layout, lexicon=["third.txt"])


VOICES = "client_id\tpath\tsentence\tup_votes\taccent\n"


def common_voice(root: Path) -> Path:
    speak(root, *(f"es/clips/common_voice_es_{number}.wav" for number in (1, 2, 3, 4)))
    write(root, "es/train.tsv", f"{VOICES}ann\tcommon_voice_es_1.wav\tHola, mundo\t2\tmexicano\n")
    write(root, "es/dev.tsv", f"{VOICES}bob\tcommon_voice_es_2.wav\tSí.\t2\tcaribe\n")
    return write(root, "es/test.tsv", f'{VOICES}cid\tcommon_voice_es_3.wav\tDijo "no"\t2\tmexicano\n')


def test_common_voice_has_a_part_per_table_and_takes_one_accent_where_it_is_asked_to(tmp_path: Path) -> None:
    found = read(common_voice(tmp_path), type="common-voice", root="es")
    assert [(item.key, item.speaker, item.part, item.text) for item in found] == [
        ("common_voice_es_1", "ann", "train", "Hola, mundo"),
        ("common_voice_es_2", "bob", "dev", "Sí."),
        ("common_voice_es_3", "cid", "test", 'Dijo "no"'),
    ]
    some = read(tmp_path, type="common-voice", root="es", accent="mexicano")
    assert [item.part for item in some] == ["train", "test"]


def test_common_voice_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    common_voice(tmp_path)
    write(tmp_path, "es/dev.tsv", f"{VOICES}bob\tcommon_voice_es_9.wav\tSí.\t2\tcaribe\n")
    with pytest.raises(BadDataError, match=r"TABLE_JOIN.*common_voice_es_9\.wav"):
        read(tmp_path, type="common-voice", root="es")
    write(tmp_path, "es/dev.tsv", f"{VOICES}bob\t../../clips/a.wav\tSí.\t2\tcaribe\n")
    with pytest.raises(BadDataError, match=r"line 2: a path of several folders.*dev\.tsv"):
        read(tmp_path, type="common-voice", root="es")
    with pytest.raises(BadDataError, match="no column accents"):
        read(tmp_path, type="common-voice", root="es", accent="mexicano", accent_column="accents")
    (tmp_path / "es/train.tsv").unlink()
    with pytest.raises(BadDataError, match=r"no file es/train\.tsv"):
        read(tmp_path, type="common-voice", root="es")


def covost(root: Path, rows: str) -> Path:
    speak(root, *(f"en/clips/{name}.mp3" for name in ("a", "b", "c", "d")))
    texts = "".join(
        f"{who}\t{name}.mp3\t{text}\n"
        for who, name, text in (
            ("ann", "a", r"She said \"no\""),
            ("bob", "b", "Yes"),
            ("cid", "c", "Maybe"),
            ("dan", "d", "Never"),
        )
    )
    write(root, "en/validated.tsv", f"client_id\tpath\tsentence\n{texts}")
    return write(root, "covost_v2.en_de.tsv", f"path\ttranslation\tsplit\tlang\n{rows}")


def test_covost_has_translations_texts_and_speakers(tmp_path: Path) -> None:
    rows = (
        'a.mp3\tSie sagte \\"nein\\"\ttrain\t\nb.mp3\tJa\ttrain_covost\t\nc.mp3\tVielleicht\ttest\t\nd.mp3\tNie\tx\t\n'
    )
    layout = {"type": "covost", "root": "en", "translations": "covost_v2.en_de.tsv"}
    out = build(covost(tmp_path / "raw", rows), tmp_path / "out", **layout)
    assert {key: tuple(target) for key, target in read_targets(out)} == {
        "a": ("train", {"translation": 'Sie sagte "nein"'}),
        "b": ("train", {"translation": "Ja"}),
        "c": ("test", {"translation": "Vielleicht"}),
    }
    assert {row.key: (row.speaker, row.text) for row in read_manifest(out)}["a"] == ("ann", 'She said "no"')


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.mp3\t \ttrain\t\n", "line 2: translation is"),
        ("z.mp3\tNie\ttrain\t\n", "TABLE_JOIN: 1 of 1 rows name audio that is not there"),
    ],
)
def test_covost_without_a_translation_or_without_a_text_is_refused(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(BadDataError) as caught:
        read(covost(tmp_path, row), type="covost", root="en", translations="covost_v2.en_de.tsv")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("... (H) Well=, I don't_know.", "WELL I DON'T KNOW"),
        ("It\u2019s @@ fine -- really?", "IT'S FINE REALLY"),
        ("[Right].", ""),
        ("<X maybe X>", ""),
        ("That X is it", ""),
        ("That XX is it", ""),
        ("In 1996", ""),
        ("(COUGH)", ""),
        ("(unclosed", ""),
        ("'", ""),
    ],
)
def test_words_of_the_santa_barbara_corpus_are_kept_where_they_are_sure(text: str, words: str) -> None:
    assert normalize(text) == words


TRN = (
    "0.00 9.21\tLENORE: \t... So you don't need to go?\n"
    "9.52 10.00\t         \tYou can borrow.\n"
    "10.20 12.00\tDORIS:\tWe have them now.\n"
    "11.50 13.00\tLENORE:\tMhm.\n"
    "13.00\t14.00\tX_2:\tYeah.\n"
    "14.00 14.05\tDORIS:\tNo.\n"
    "14.10 40.00\tDORIS:\tToo long.\n"
    "41.00 42.00\tDORIS:\t[Two at once].\n"
    "not a line\n"
)


def test_the_santa_barbara_corpus_has_regions_of_one_speaker_each(tmp_path: Path) -> None:
    speak(tmp_path, "WAV/SBC001.wav", "mp3/50.wav", "mp3/60.wav", seconds=1.0)
    (tmp_path / "TRN").mkdir()
    (tmp_path / "TRN/SBC001.trn").write_bytes(TRN.encode("latin-1") + b"43.0 44.0\tDORIS:\tse\xf1or\n")
    write(tmp_path, "TRN/SBC050.trn", "1.5 2.5\tANN:\tYes.\n")
    write(tmp_path, "TRN/SBC060.trn", "1.5 2.5\tANN:\tYes.\n")
    found = read(tmp_path, type="sbcsae")
    assert [(item.key, item.speaker, item.part, item.start_s, item.end_s, item.text) for item in found] == [
        ("SBC001_000000-000921", "SBC001_LENORE", "train", None, 9.21, "SO YOU DON'T NEED TO GO"),
        ("SBC001_000952-001000", "SBC001_LENORE", "train", 9.52, 10.0, "YOU CAN BORROW"),
        ("SBC001_001300-001400", "SBC001_X_2", "train", 13.0, 14.0, "YEAH"),
        ("SBC050_000150-000250", "SBC050_ANN", "dev", 1.5, 2.5, "YES"),
        ("SBC060_000150-000250", "SBC060_ANN", "test", 1.5, 2.5, "YES"),
    ]
    assert [(table.rows, table.left_over) for table in found.tables] == [(10, 1), (1, 0), (1, 0)]


def test_the_santa_barbara_corpus_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    speak(tmp_path, "SBC001.wav")
    with pytest.raises(BadDataError, match=r"no file \*\*/SBC\*\.trn"):
        read(tmp_path, type="sbcsae")
    write(tmp_path, "SBC001.trn", "no times here\n")
    with pytest.raises(BadDataError, match=r"no line of start, end and text; in .*SBC001\.trn"):
        read(tmp_path, type="sbcsae")
    write(tmp_path, "SBC001.trn", "1.0 2.0\tANN:\tYes.\n")
    write(tmp_path, "SBC002.trn", "1.0 2.0\tANN:\tYes.\n")
    with pytest.raises(BadDataError, match=r"no audio of this conversation; in .*SBC002\.trn"):
        read(tmp_path, type="sbcsae")
    speak(tmp_path, "01.wav")
    with pytest.raises(BadDataError, match="are both conversation 1"):
        read(tmp_path, type="sbcsae")
    (tmp_path / "SBC002.trn").unlink()
    assert [str(item.path) for item in read(tmp_path, type="sbcsae", audio="0*.wav")] == ["01.wav"]


def test_targets_of_these_corpora_are_in_one_form(tmp_path: Path) -> None:
    found = read(librispeech(tmp_path), type="librispeech", root="LibriSpeech", lexicon=["first.txt", "second.txt"])
    for item in found:
        assert item.target == json.dumps(json.loads(item.target or ""), sort_keys=True, separators=(",", ":"))
