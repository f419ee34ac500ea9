"""Kind G: rows of a table that were given to the wrong recording, or to none.

People reported: `spk1/001` and `spk2/001` both got the text of the one row `001`; the timed phones of two utterances
with one file name were merged and given to both, and label quality was computed from them.
"""

import unicodedata
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from wavlm.corpus.layouts import Reading, TableAccount, read_layout
from wavlm.errors import BadDataError
from wavlm.specs.layouts import FestvoxLayout, FilletsLayout, GenericLayout


def grow(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def read(root: Path, rows: list[str], table: str = "t.tsv", **fields: object) -> Reading:
    """Read a folder whose table of texts has these rows: name, tab, text."""
    (root / table).parent.mkdir(parents=True, exist_ok=True)
    (root / table).write_text("\n".join(["utt_id\ttext", *rows, ""]), encoding="utf-8")
    return read_layout(GenericLayout.model_validate({"type": "generic", "transcripts": table, **fields}), root)


def texts(found: Reading) -> Mapping[str, str | None]:
    return {str(item.path): item.text for item in found}


def counts(account: TableAccount) -> tuple[int, int, int, int, int]:
    found = account.by_path, account.by_stem, account.duplicates, account.ambiguous, account.left_over
    assert sum(found) == account.rows
    return found


def test_a_file_name_that_two_recordings_have_names_none_of_them(tmp_path: Path) -> None:
    grow(tmp_path, "spk1/001.flac", "spk2/001.flac")
    with pytest.raises(
        BadDataError, match=r"TABLE_JOIN: 0 of 1 rows name no recording, 1 may mean several.*line 2: 001"
    ):
        read(tmp_path, ["001\tTEXT OF SPEAKER ONE"])
    found = read(tmp_path, ["001\tTEXT OF SPEAKER ONE"], max_left_over_rows=1.0, max_without_row=1.0)
    assert texts(found) == {"spk1/001.flac": None, "spk2/001.flac": None}
    (account,) = found.tables
    assert counts(account) == (0, 0, 0, 1, 0)
    assert account.without_row == 2


def test_recordings_with_one_file_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    grow(tmp_path, "spk1/001.flac", "spk2/001.flac", "spk2/002.flac")
    found = read(tmp_path, ["spk2/001\tTWO", "spk1/001.wav\tONE", "002\tTHREE"])
    assert texts(found) == {"spk1/001.flac": "ONE", "spk2/001.flac": "TWO", "spk2/002.flac": "THREE"}
    assert counts(found.tables[0]) == (2, 1, 0, 0, 0)


@pytest.mark.parametrize(
    "name",
    [
        "a/spk1/001.flac",
        "a/spk1/001",
        "a/spk1/001.MP3",
        "./a/spk1/001",
        "a//spk1/./001.flac",
        r"a\spk1\001.wav",
        r".\a\spk1\001",
        r"D:\corpora\a\spk1\001.wav",
        "/home/anna/corpus/a/spk1/001.wav",
        "spk1/001",
        r"spk1\001.flac",
        " a/spk1/001.flac ",
    ],
)
def test_a_path_is_understood_as_people_write_it(tmp_path: Path, name: str) -> None:
    grow(tmp_path, "a/spk1/001.flac", "a/spk2/001.flac", "b/spk3/001.flac", "b/xspk1/001.flac")
    found = read(tmp_path, [f"{name}\tYES"])
    assert texts(found)["a/spk1/001.flac"] == "YES"
    assert counts(found.tables[0]) == (1, 0, 0, 0, 0)
    assert found.tables[0].without_row == 3


def test_a_path_may_begin_at_the_table(tmp_path: Path) -> None:
    grow(tmp_path, "en/clips/x/1.mp3", "de/clips/x/1.mp3", "en/1.mp3")
    found = read(tmp_path, ["clips/x/1.mp3\tHELLO", "1\tONE"], table="en/t.tsv")
    assert texts(found) == {"de/clips/x/1.mp3": None, "en/1.mp3": "ONE", "en/clips/x/1.mp3": "HELLO"}


def test_a_row_of_another_folder_is_not_given_to_the_only_file_of_its_name(tmp_path: Path) -> None:
    """The audio of spk2 is not there; spk1 must not get its text."""
    grow(tmp_path, "spk1/001.flac", "002.flac")
    with pytest.raises(BadDataError, match="TABLE_JOIN: 2 of 2 rows name no recording"):
        read(tmp_path, ["spk2/001\tTEXT OF SPEAKER TWO", "spk2/002\tMORE"])
    # The folder's own name counts as little: a moved folder has to give the same rows.
    found = read(tmp_path, [f"{tmp_path.name}/002.wav\tTOP", "spk1/001\tONE"], max_left_over_rows=0.5)
    assert texts(found) == {"002.flac": None, "spk1/001.flac": "ONE"}


def test_only_the_suffix_of_an_audio_file_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "2026.11.30").write_bytes(b"fLaC")
    (tmp_path / "a.b.flac").touch()
    found = read(tmp_path, ["2026.11.30\tTEXT", "a.b\tB"])
    assert [item.text for item in found] == ["TEXT", "B"]
    with pytest.raises(BadDataError, match="TABLE_JOIN: 2 of 2 rows name no recording"):
        read(tmp_path, ["2026.11\tTEXT", "a\tB"])


def test_two_texts_of_one_recording_are_an_error_that_names_both_lines(tmp_path: Path) -> None:
    grow(tmp_path, "spk1/001.flac", "spk1/002.flac")
    with pytest.raises(BadDataError, match=r"LAYOUT: 001 and line 2, spk1/001, say different things .*t\.tsv, line 4"):
        read(tmp_path, ["spk1/001\tONE", "002\tTWO", "001\tOTHER"])


def test_a_row_that_is_there_twice_is_counted(tmp_path: Path) -> None:
    grow(tmp_path, "a.wav", "b.wav")
    rows = ["a\tONE", "b\tTWO", "a\tONE"]
    with pytest.raises(BadDataError, match=r"TABLE_JOIN.*1 repeat another row: line 4: a \(duplicate\)"):
        read(tmp_path, rows)
    found = read(tmp_path, rows, max_left_over_rows=0.4)
    assert texts(found) == {"a.wav": "ONE", "b.wav": "TWO"}
    assert found.tables[0].duplicates == 1


def test_rows_without_a_recording_are_counted_and_an_error_above_a_bound(tmp_path: Path) -> None:
    grow(tmp_path, *(f"{number}.wav" for number in range(18)))
    rows = [f"{number}\tTEXT" for number in range(20)]
    assert read(tmp_path, rows).tables[0].left_over == 2
    with pytest.raises(BadDataError, match=r"TABLE_JOIN: 3 of 21 rows name no recording.*line 20: 18"):
        read(tmp_path, [*rows, "20\tTEXT"])


def test_recordings_without_a_row_are_counted_and_an_error_above_a_bound(tmp_path: Path) -> None:
    grow(tmp_path, *(f"{number}.wav" for number in range(8)))
    assert read(tmp_path, ["1\tA", "2\tB"]).tables[0].without_row == 6
    with pytest.raises(BadDataError, match="TABLE_JOIN: 7 of 8 recordings have no row"):
        read(tmp_path, ["1\tA"])
    with pytest.raises(BadDataError, match="TABLE_JOIN: 1 of 8 recordings have no row"):
        read(tmp_path, [f"{number}\tA" for number in range(7)], max_without_row=0.0)


def test_names_are_compared_in_nfc_on_both_sides(tmp_path: Path) -> None:
    """macOS stores `é` as two characters; tables from a keyboard have one."""
    names = ["Émile/café", "Zoë/naïve"]
    grow(tmp_path, *(unicodedata.normalize("NFD", f"{name}.wav") for name in names))
    layout = {"speaker": "^(?P<speaker>Émile|Zoë)/", "audio": "*[eë]/*é*.wav"}
    found = read(tmp_path, [f"{name}\tTEXT" for name in names])
    assert [item.text for item in found] == ["TEXT", "TEXT"]
    found = read(tmp_path, ["Émile/café\tYES"], **layout)
    assert [(item.speaker, item.text) for item in found] == [("Émile", "YES")]
    (tmp_path / unicodedata.normalize("NFD", "größe.tsv")).write_text("utt_id\ttext\ncafé\tA\nnaïve\tB\n")
    layout = {"type": "generic", "transcripts": "größe.tsv"}
    assert [item.text for item in read_layout(GenericLayout.model_validate(layout), tmp_path)] == ["A", "B"]


def test_names_that_are_equal_in_nfc_are_told_apart_by_their_spelling(tmp_path: Path) -> None:
    composed, decomposed = "é", "e\u0301"
    grow(tmp_path, f"{composed}.wav", f"{decomposed}.wav")
    found = read(tmp_path, [f"{composed}\tONE", f"{decomposed}.wav\tTWO"])
    assert texts(found) == {f"{composed}.wav": "ONE", f"{decomposed}.wav": "TWO"}
    assert len({item.key for item in found}) == 2


def read_phones(root: Path, rows: list[str], **fields: object) -> Reading:
    (root / "p.tsv").write_text("\n".join(["utt_id\tstart_s\tend_s\tphone", *rows, ""]))
    return read_layout(GenericLayout.model_validate({"type": "generic", "phones": "p.tsv", **fields}), root)


TWO_SETS = ["001\t0.0\t1.0\tAA", "001\t1.0\t2.0\tBB", "001\t0.0\t1.5\tCC", "001\t1.5\t2.0\tDD"]


def test_phones_of_two_recordings_with_one_name_are_not_merged(tmp_path: Path) -> None:
    grow(tmp_path, "spk1/001.flac", "spk2/001.flac")
    with pytest.raises(BadDataError, match="TABLE_JOIN: 0 of 4 rows name no recording, 4 may mean several"):
        read_phones(tmp_path, TWO_SETS)
    found = read_phones(tmp_path, TWO_SETS, max_left_over_rows=1.0, max_without_row=1.0)
    assert [item.phones for item in found] == [None, None]


def test_phones_of_two_recordings_are_not_merged_where_only_one_is_there(tmp_path: Path) -> None:
    grow(tmp_path, "spk1/001.flac")
    with pytest.raises(BadDataError, match=r"LAYOUT: the phones AA \(0.0 to 1.0 s\) and CC .* overlap"):
        read_phones(tmp_path, TWO_SETS)
    with pytest.raises(BadDataError, match=r"LAYOUT: spk1/001 and line 2, 001, say different things"):
        read_phones(tmp_path, [TWO_SETS[0], "spk1/001\t1.0\t2.0\tBB"])


def test_phones_by_path_keep_their_order_in_time(tmp_path: Path) -> None:
    grow(tmp_path, "spk1/001.flac", "spk2/001.flac")
    rows = ["spk1/001\t0.5\t1.0\tB", "spk2/001\t0.0\t1.0\tC", "spk1/001\t0.0\t0.51\tA"]
    found = read_phones(tmp_path, rows)
    assert [item.phones for item in found] == [((0.0, 0.51, "A"), (0.5, 1.0, "B")), ((0.0, 1.0, "C"),)]


def test_a_phone_that_is_there_twice_is_used_once_and_counted(tmp_path: Path) -> None:
    grow(tmp_path, "a.wav")
    found = read_phones(tmp_path, ["a\t0\t1\tX", "a\t0\t1\tX"], max_left_over_rows=0.5)
    assert [item.phones for item in found] == [((0.0, 1.0, "X"),)]
    assert counts(found.tables[0]) == (1, 0, 1, 0, 0)


def test_joining_does_not_take_longer_for_names_that_many_recordings_have(tmp_path: Path) -> None:
    """Looked up once per name: with one search per row this would be 4 million steps of 2,000 recordings each."""
    grow(tmp_path, *(f"{number}/001.flac" for number in range(2000)))
    rows = [f"001\t{number}\t{number}.5\tX" for number in range(20_000)]
    found = read_phones(tmp_path, rows, max_left_over_rows=1.0, max_without_row=1.0)
    assert found.tables[0].ambiguous == 20_000


def test_a_dialogue_that_two_rooms_have_is_given_to_no_third_one(tmp_path: Path) -> None:
    grow(tmp_path, "sound/a/cs/hi.ogg", "sound/share/cs/hi.ogg", "sound/share/cs/bye.ogg")
    for room, text in (("a", "ONE"), ("b", "TWO")):
        (tmp_path / f"script/{room}").mkdir(parents=True)
        script = f'dialogId("hi", "font_{room}", "")\ndialogStr("{text}")\ndialogId("bye", "font_x", "")\n'
        (tmp_path / f"script/{room}/dialogs_cs.lua").write_text(script)
    found = read_layout(FilletsLayout(type="fillets", language="cs"), tmp_path)
    assert {str(item.path): (item.speaker, item.text) for item in found} == {
        "sound/a/cs/hi.ogg": ("a", "ONE"),
        "sound/share/cs/bye.ogg": ("x", None),
        "sound/share/cs/hi.ogg": ("unknown", None),
    }


def test_two_catalogues_of_one_voice_are_not_merged(tmp_path: Path) -> None:
    grow(tmp_path, "wav/a.wav")
    folder = tmp_path / "festival/clunits"
    folder.mkdir(parents=True)
    for name, edges in {"old": (0.0, 0.5, 1.0), "new": (0.0, 0.7, 1.0)}.items():
        lines = [f"x_{n} a {start} {start} {end}" for n, (start, end) in enumerate(pairwise(edges))]
        (folder / f"{name}.catalogue").write_text("\n".join(["EST_Header_End", *lines, ""]))
    with pytest.raises(BadDataError, match=r"LAYOUT: the phones x .* of a overlap"):
        read_layout(FestvoxLayout(type="festvox", speaker="v"), tmp_path)
    (folder / "old.catalogue").write_text((folder / "new.catalogue").read_text())
    (found,) = read_layout(FestvoxLayout(type="festvox", speaker="v"), tmp_path)
    assert found.phones == ((0.0, 0.7, "x"), (0.7, 1.0, "x"))
