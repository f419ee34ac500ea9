"""Targets and texts of the corpora that Debian packages hold."""

import gzip
import json
from pathlib import Path

import pytest

from tests.corpus.layouts.trees import read, touch, write

DIGITS = Path(__file__).parents[4] / "shared" / "eval-data" / "fsdd"
VOICE = "usr/share/asterisk/sounds/en_US_f_Allison"
TEXTS = "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt"
PROMPTS = """\ufeff; Core Asterisk Sounds in English

added: Added.
digits/1: one
letters/at: at [@]
beep: [this is a simple beep tone]
vm-intro: Please leave your message.  (simple tone sound plays)
digits/0: zero
digits/0: ten
digits/0: zero
silence/1: (1 second of silence)
gone: Gone: for good.
"""


@pytest.mark.parametrize("is_compressed", [False, True])
def test_asterisk_has_texts_but_for_those_with_notes_and_those_of_one_prompt_that_differ(
    tmp_path: Path, is_compressed: bool
) -> None:
    names = ("added", "digits/1", "digits/0", "letters/at", "beep", "vm-intro", "silence/1", "unwritten")
    touch(tmp_path, *(f"{VOICE}/{name}.g722" for name in names))
    write(tmp_path, TEXTS, PROMPTS)
    if is_compressed:
        (tmp_path / f"{TEXTS}.gz").write_bytes(gzip.compress((tmp_path / TEXTS).read_bytes()))
        (tmp_path / TEXTS).unlink()
    found = read(tmp_path, type="asterisk", speaker="allison")
    assert {item.key: item.text for item in found if item.text is not None} == {
        "en_US_f_Allison__added": "Added.",
        "en_US_f_Allison__digits__1": "one",
    }
    assert len(found.recordings) == 7
    (table,) = found.tables
    assert (table.rows, table.left_over, table.ambiguous, table.without_row) == (10, 2, 2, 1)
    with_text = read(tmp_path, type="asterisk", speaker="allison", only_with_text=True)
    assert [item.key for item in with_text] == ["en_US_f_Allison__added", "en_US_f_Allison__digits__1"]


def test_a_text_may_hold_a_colon(tmp_path: Path) -> None:
    touch(tmp_path, f"{VOICE}/gone.g722")
    write(tmp_path, TEXTS, PROMPTS)
    assert [item.text for item in read(tmp_path, type="asterisk", speaker="allison")] == ["Gone: for good."]


def test_a_festvox_target_has_the_phones_without_pauses(tmp_path: Path) -> None:
    touch(tmp_path, "v/wav/a.wav", "v/wav/silent.wav")
    write(
        tmp_path,
        "v/festival/clunits/v.catalogue",
        "EST_Header_End\nk_1 a 0.3 0.4 0.5\npau_1 a 0 0.1 0.2\naa_7 a 0.2 0.25 0.3\npau_2 a 0.5 0.6 0.7\n"
        "pau_3 silent 0 0.1 0.2\n",
    )
    found = list(read(tmp_path, type="festvox", speaker="v"))
    assert [item.target for item in found] == ['{"phones":["aa","k"]}', None]
    assert found[0].phones is not None
    assert len(found[0].phones) == 4


def line(name: str, role: str, english: str, text: str) -> str:
    return f'dialogId("{name}", "font_{role}", "{english}")\ndialogStr("{text}")\n'


def test_a_fillets_target_has_the_role_and_the_english_line(tmp_path: Path) -> None:
    touch(tmp_path, *(f"sound/{room}/cs/{name}.ogg" for room in ("one", "two") for name in ("a", "b", "c")))
    write(tmp_path, "script/one/dialogs_cs.lua", line("a", "small", "A ship?", "Loď?") + line("b", "big", "", "Ano."))
    write(tmp_path, "script/other/dialogs_cs.lua", line("a", "small", "A boat?", "Loď?") + line("c", "", "Yes.", "Jo."))
    found = {item.key: (item.speaker, item.text, json.loads(item.target or "{}")) for item in read_cs(tmp_path)}
    assert found == {
        "one__a": ("small", "Loď?", {"class": "small", "translation": "A ship?"}),
        "one__b": ("big", "Ano.", {"class": "big"}),
        "one__c": ("unknown", "Jo.", {"translation": "Yes."}),
        "two__a": ("small", "Loď?", {"class": "small"}),  # two rooms say it in two English ways
        "two__b": ("big", "Ano.", {"class": "big"}),
        "two__c": ("unknown", "Jo.", {"translation": "Yes."}),
    }


def read_cs(folder: Path):
    return read(folder, type="fillets", language="cs")


def test_spoken_digits_have_class_speaker_and_the_publishers_test_set(tmp_path: Path) -> None:
    touch(tmp_path, "recordings/7_jackson_4.wav", "recordings/7_jackson_5.wav", "recordings/0_theo_49.wav", "README.md")
    found = read(tmp_path, type="free-spoken-digits")
    assert [(item.key, item.speaker, item.part, item.target) for item in found] == [
        ("0_theo_49", "theo", "train", '{"class":"0"}'),
        ("7_jackson_4", "jackson", "test", '{"class":"7"}'),
        ("7_jackson_5", "jackson", "train", '{"class":"7"}'),
    ]


@pytest.mark.skipif(not DIGITS.is_dir(), reason="the spoken digits are not there")
def test_the_spoken_digits_of_five_speakers_are_all_read() -> None:
    """The table of the folder says which digit each file is; it is not read by the layout."""
    found = {item.path.as_posix(): item for item in read(DIGITS, type="free-spoken-digits", audio="*/*.flac")}
    rows = [line.split("\t") for line in (DIGITS / "digits.tsv").read_text().splitlines()[1:]]
    assert {path: (item.speaker, json.loads(item.target or "")["class"]) for path, item in found.items()} == {
        path: (speaker, digit) for path, speaker, digit, *_ in rows
    }
    assert sum(item.part == "test" for item in found.values()) == 5 * 10 * 5  # 5 numbers of 10 digits by 5 speakers
