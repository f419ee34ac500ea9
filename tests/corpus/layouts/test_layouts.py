"""Every layout, on a small tree like that of its publisher."""

from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import ValidationError

from wavlm.corpus.layouts import Phone, Recording, read_layout
from wavlm.errors import BadDataError
from wavlm.specs.layouts import AsteriskLayout, FestvoxLayout, FilletsLayout, GenericLayout, LibrispeechLayout


def grow(root: Path, *files: str) -> None:
    """A tree of empty files."""
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")


def summary(recordings: list[Recording]) -> list[tuple[str, str, str | None]]:
    return [(item.key, item.speaker, item.text) for item in recordings]


def test_librispeech_has_speakers_and_texts_from_its_names_and_files(tmp_path: Path) -> None:
    grow(
        tmp_path,
        "LibriSpeech/dev-clean/84/121123/84-121123-0000.flac",
        "LibriSpeech/dev-clean/84/121123/84-121123-0001.flac",
        "LibriSpeech/dev-clean/174/168635/174-168635-0000.flac",
        "LibriSpeech/SPEAKERS.TXT",
    )
    write(
        tmp_path,
        "LibriSpeech/dev-clean/84/121123/84-121123.trans.txt",
        "84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT IN LESS THAN FIVE MINUTES\n",
    )
    found = list(read_layout(LibrispeechLayout(type="librispeech", root="LibriSpeech"), tmp_path))
    assert summary(found) == [
        ("174-168635-0000", "174", None),
        ("84-121123-0000", "84", "GO DO YOU HEAR"),
        ("84-121123-0001", "84", "BUT IN LESS THAN FIVE MINUTES"),
    ]
    assert all((tmp_path / item.path).is_file() for item in found)


def test_a_file_that_is_not_named_as_librispeech_does_is_an_error(tmp_path: Path) -> None:
    grow(tmp_path, "84/121123/speech.flac")
    with pytest.raises(BadDataError, match=r"LAYOUT.*speech\.flac"):
        list(read_layout(LibrispeechLayout(type="librispeech"), tmp_path))


def test_generic_takes_speakers_from_a_pattern_and_tables_by_file_name(tmp_path: Path) -> None:
    grow(tmp_path, "speech/7/a-1.flac", "speech/7/a-2.WAV", "speech/9/b.ogg", "speech/9/b.txt")
    grow(tmp_path, "noise/c.flac", "speech/.hidden.flac", "speech/.cache/d.flac")
    write(tmp_path, "texts.tsv", 'utt_id\tspeaker\ttext\na-1\t7\tHE SAID "NO\nb\t9\tYES\n')
    write(
        tmp_path,
        "phones.tsv",
        "utt_id\tstart_s\tend_s\tphone\nb\t0.5\t0.75\tEH\nb\t0.25\t0.5\tY\nb\t0.75\t1.0\tS\n",
    )
    layout = GenericLayout(
        type="generic",
        audio="speech/**/*",
        speaker=r"^speech/(?P<speaker>[0-9]+)/",
        transcripts="texts.tsv",
        phones="phones.tsv",
    )
    found = list(read_layout(layout, tmp_path))
    assert summary(found) == [
        ("speech__7__a-1", "7", 'HE SAID "NO'),
        ("speech__7__a-2", "7", None),
        ("speech__9__b", "9", "YES"),
    ]
    assert found[0].phones is None
    assert found[2].phones == (
        Phone(0.25, 0.5, "Y"),
        Phone(0.5, 0.75, "EH"),
        Phone(0.75, 1.0, "S"),
    )


def test_generic_without_a_pattern_has_one_unknown_speaker(tmp_path: Path) -> None:
    grow(tmp_path, "a.wav", "b/c.wav")
    found = list(read_layout(GenericLayout(type="generic"), tmp_path))
    assert summary(found) == [("a", "unknown", None), ("b__c", "unknown", None)]


def test_files_that_differ_only_in_their_suffix_have_it_in_their_keys(tmp_path: Path) -> None:
    grow(
        tmp_path, "s/a.wav", "s/a.flac", "s/b.WAV", "s/b.wav", "u/a.wav", "u/a.mp3", "u/a.wav.mp3", "s/c.wav", "t/a.wav"
    )
    write(tmp_path, "texts.tsv", "utt_id\ttext\ns/a.wav\tONE\nb.WAV\tTWO\nc\tTHREE\ns/a\tWHICH\nb\tWHICH\n")
    layout = GenericLayout(type="generic", transcripts="texts.tsv", max_left_over_rows=0.5)
    reading = read_layout(layout, tmp_path)
    assert {str(item.path): (item.key, item.text) for item in reading} == {
        "s/a.flac": ("s__a_x2eflac", None),
        "s/a.wav": ("s__a_x2ewav", "ONE"),
        "s/b.WAV": ("s__b_x2eWAV", "TWO"),
        "s/b.wav": ("s__b_x2ewav", None),
        "s/c.wav": ("s__c", "THREE"),
        "t/a.wav": ("t__a", None),
        "u/a.mp3": ("u__a_x2emp3", None),
        "u/a.wav": ("u__a_x2ewav", None),
        "u/a.wav.mp3": ("u__a_x2ewav_x2emp3", None),
    }
    assert reading.tables[0].ambiguous == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"speaker": r"^(?P<speaker>[0-9]+)/"}, r"finds no speaker in a\.wav"),
        ({"transcripts": "texts.tsv"}, "no column text"),
        ({"phones": "phones.tsv"}, "times are not numbers"),
        ({"phones": "cut.tsv"}, r"a row of 2 fields, expected 4.* in .*cut\.tsv, line 2"),
        ({"phones": "nan.tsv"}, r"phone Y from 0\.1 to nan s; in .*nan\.tsv, line 2"),
    ],
)
def test_a_generic_layout_that_does_not_fit_says_why(tmp_path: Path, fields: dict[str, str], message: str) -> None:
    grow(tmp_path, "a.wav")
    write(tmp_path, "texts.tsv", "utt_id\twords\na\tYES\n")
    write(tmp_path, "phones.tsv", "utt_id\tstart_s\tend_s\tphone\na\tnow\tthen\tY\n")
    write(tmp_path, "cut.tsv", "utt_id\tstart_s\tend_s\tphone\na\t0.1\n")
    write(tmp_path, "nan.tsv", "utt_id\tstart_s\tend_s\tphone\na\t0.1\tnan\tY\n")
    with pytest.raises(BadDataError, match=message):
        list(read_layout(GenericLayout.model_validate({"type": "generic", **fields}), tmp_path))


@pytest.mark.parametrize(
    ("speaker", "message"), [("(?P<who>.)", r"expected a group \(\?P<speaker>"), ("(", "not a regular expression")]
)
def test_a_pattern_that_names_no_speaker_is_refused_when_the_spec_is_read(speaker: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        GenericLayout.model_validate({"type": "generic", "speaker": speaker})


def test_asterisk_leaves_out_the_made_silence_and_keeps_the_voice_in_the_key(
    tmp_path: Path,
) -> None:
    voice = "usr/share/asterisk/sounds/it_IT_m_Carlo"
    grow(tmp_path, f"{voice}/digits/1.g722", f"{voice}/agent-pass.g722", f"{voice}/silence/1.g722")
    grow(tmp_path, "usr/share/doc/asterisk/copyright")
    found = list(read_layout(AsteriskLayout(type="asterisk", speaker="carlo"), tmp_path))
    assert summary(found) == [
        ("it_IT_m_Carlo__agent-pass", "carlo", None),
        ("it_IT_m_Carlo__digits__1", "carlo", None),
    ]


def test_festvox_has_texts_and_timed_phones(tmp_path: Path) -> None:
    voice = "usr/share/festival/voices/russian/msu_ru_nsh_clunits"
    grow(tmp_path, f"{voice}/wav/ru_0001.wav", f"{voice}/wav/ru_0002.wav")
    write(
        tmp_path,
        f"{voice}/etc/txt.done.data",
        '( ru_0001 "Она завела, Да+." )\n( ru_0002 "Да, \\"нет\\"." )\n',
    )
    write(
        tmp_path,
        f"{voice}/festival/clunits/msu_ru_nsh.catalogue",
        "EST_File index\nDataType ascii\nNumEntries 3\nIndexName msu\nEST_Header_End\n"
        "a_12 ru_0001 0.150000 0.246000 0.342000\n"
        "pau_6846 ru_0001 0.000000 0.075000 0.150000\n"
        "pau_1 ru_0002 0.000000 0.100000 0.200000\n",
    )
    found = list(read_layout(FestvoxLayout(type="festvox", speaker="nsh"), tmp_path))
    assert summary(found) == [
        ("ru_0001", "nsh", "Она завела, Да+."),
        ("ru_0002", "nsh", 'Да, "нет".'),
    ]
    assert found[0].phones == (Phone(0.0, 0.15, "pau"), Phone(0.15, 0.342, "a"))
    assert found[1].phones == (Phone(0.0, 0.2, "pau"),)


def test_a_broken_festvox_catalogue_names_the_line(tmp_path: Path) -> None:
    grow(tmp_path, "v/wav/a.wav")
    write(tmp_path, "v/festival/clunits/v.catalogue", "EST_Header_End\nk_1 a 0.1 0.2\n")
    with pytest.raises(BadDataError, match=r"LAYOUT.*k_1 a 0\.1 0\.2.*v\.catalogue, entry 0"):
        list(read_layout(FestvoxLayout(type="festvox", speaker="v"), tmp_path))


SCRIPT = """
-- dialogId("commented-out", "font_big", "No.")
--[[ dialogId("also-out", "font_big", "No.")
dialogStr("Ne.") ]]
dialogId("let-m-divna", "font_small", "What kind of \\"ship\\" is that? -- strange")
dialogStr("Co je to za divnou loď?")

dialogId("let-v-vrak", "font_big",
    "This is " .. "the wreck.")
dialogStr(
    "To je " ..
    "vrak\\nletadla.")
dialogId("no-text", "font_statue", "")
dialogId("laser", "", "")
dialogId("computed", font, name())
os.execute("touch executed")
"""


def test_fillets_reads_roles_and_texts_without_running_the_scripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["let-m-divna", "let-v-vrak", "no-text", "laser", "music", "commented-out", "also-out"]
    game = "usr/share/games/fillets-ng"
    grow(tmp_path, *(f"{game}/sound/airplane/cs/{name}.ogg" for name in names))
    grow(
        tmp_path,
        f"{game}/sound/airplane/nl/let-m-divna.ogg",
        f"{game}/sound/share/cs/let-v-vrak.ogg",
    )
    write(tmp_path, f"{game}/script/airplane/dialogs_cs.lua", SCRIPT)
    found = list(read_layout(FilletsLayout(type="fillets", language="cs"), tmp_path))
    assert summary(found) == [
        ("airplane__also-out", "unknown", None),
        ("airplane__commented-out", "unknown", None),
        ("airplane__laser", "unknown", None),
        ("airplane__let-m-divna", "small", "Co je to za divnou loď?"),
        ("airplane__let-v-vrak", "big", "To je vrak\nletadla."),
        ("airplane__music", "unknown", None),
        ("airplane__no-text", "statue", None),
        ("share__let-v-vrak", "big", "To je vrak\nletadla."),
    ]
    assert not (tmp_path / "executed").exists()


def test_real_speech_is_read_whole_with_its_words_and_phones(real_data: Path) -> None:
    layout = GenericLayout(
        type="generic",
        audio="speech/**/*.flac",
        speaker="^speech/(?P<speaker>[0-9]+)/",
        transcripts="transcripts.tsv",
        phones="align/phones.tsv",
    )
    found = list(read_layout(layout, real_data))
    assert len(found) == 12
    assert len({item.speaker for item in found}) == 10
    assert all(item.text and item.phones for item in found)
    for item in found:
        assert item.phones is not None
        assert all(a.end_s <= b.start_s + 0.011 for a, b in pairwise(item.phones))
