"""Kind H: tables as programs and people write them.

People reported: a table of Excel with a byte order mark has "no column utt_id", but shows one; a table that is not
there and one in ISO-8859-1 ended in a stack trace.
"""

import csv
import io
import os
import unicodedata
from pathlib import Path

import pytest

from tests.field.recipes import findings, write_recipe
from wavlm.corpus.layouts import Reading, check_layout, read_layout
from wavlm.errors import BadDataError, CodedError
from wavlm.specs.layouts import FestvoxLayout, FilletsLayout, GenericLayout, Layout, LibrispeechLayout

GOOD = "utt_id\ttext\na\tžluťoučký kůň\nb\tYES\n"


def read(root: Path, table: bytes, **fields: object) -> Reading:
    for name in ("a.wav", "b.wav"):
        (root / name).touch()
    (root / "t.tsv").write_bytes(table)
    return read_layout(GenericLayout.model_validate({"type": "generic", "transcripts": "t.tsv", **fields}), root)


@pytest.mark.parametrize(
    "table",
    [
        GOOD.encode("utf-8-sig"),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace("\n", "\r").encode(),  # as old programs for the Macintosh
        GOOD.rstrip().encode(),
        GOOD.replace("\n", "\n\n").encode(),
        GOOD.replace("\n", "\t\t\n").encode(),  # empty columns at the end, as spreadsheets write
        (GOOD + "\t\n").encode(),
        GOOD.replace("utt_id\ttext", " utt_id \ttext ").encode(),
    ],
)
def test_a_table_that_is_odd_and_still_clear_is_read(tmp_path: Path, table: bytes) -> None:
    assert [item.text for item in read(tmp_path, table)] == ["žluťoučký kůň", "YES"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (GOOD.encode("iso-8859-2"), r"byte 0xbe is not UTF-8; in .*t\.tsv, line 2; save it as UTF-8"),
        (GOOD.encode("utf-16"), r"byte 0xff is not UTF-8; in .*t\.tsv, line 1"),
        (GOOD.encode("utf-16-le"), r"NUL byte.*t\.tsv, line 1"),
        (b"utt_id\ttext\na\tYES\0\n", r"NUL byte.*t\.tsv, line 2"),
        (b"", r"no column utt_id, text, but nothing; in .*t\.tsv, line 1"),
        (b"utt_id,text\na,YES\n", r"no column .*line 1; its columns are separated by commas; save it .* tabs"),
        (b"utt_id;text\na;YES\n", r"separated by semicolons"),
        (b"path\tsentence\na\tYES\n", r"no column utt_id, text, but path, sentence;.*id_column, text_column"),
        (b"utt_id\ttext\ttext\na\tYES\tNO\n", r"two columns text"),
        (b"utt_id\ttext\na\n", r"a row of 1 fields, expected 2: a; in .*line 2"),
        (b"utt_id\ttext\n\na\tYES\tNO\n", r"a row of 3 fields, expected 2: a; in .*line 3; .*cannot hold a tab"),
        (b"utt_id\ttext\na\tYES\rNO\nb\tYES\n", r"a row of 1 fields, expected 2: NO; in .*line 3"),
        (b"utt_id\ttext\na\t" + b"Y" * 140_000 + b"\n", r"a field has more than 131072 letters; in .*line 2"),
        (b"utt_id\ttext\n" + b"Y" * (1 << 21), r"a line has more than 1048576 letters; in .*line 2"),
        (b"\xff" * 100, r"not UTF-8; in .*line 1"),
        (bytes(range(256)) * 10, r"LAYOUT"),
    ],
)
def test_a_table_that_is_wrong_is_named_with_its_line(tmp_path: Path, table: bytes, message: str) -> None:
    with pytest.raises(BadDataError, match=message) as caught:
        read(tmp_path, table)
    assert caught.value.code == "LAYOUT"
    assert str(caught.value).count("; ") >= 2
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ('"he said ""hi"""', 'he said "hi"'),
        ('"""no"" is no"', '"no" is no'),
        ('"YES"', '"YES"'),  # nothing says that these are not of the text
        ('"yes" or "no"', '"yes" or "no"'),
        ('he said ""hi""', 'he said ""hi""'),
        ('"he said ""', '"he said ""'),
        ('""', '""'),
    ],
)
def test_only_quotes_of_a_spreadsheet_are_taken_off(tmp_path: Path, field: str, text: str) -> None:
    assert read(tmp_path, f"utt_id\ttext\na\t{field}\nb\tx\n".encode()).recordings[0].text == text


def test_a_table_of_the_csv_module_gives_back_what_was_written(tmp_path: Path) -> None:
    (tmp_path / '7" disc.wav').touch()
    file = io.StringIO()
    texts = {'7" disc.wav': 'the 7" and the 12"', "a": '"', "b": "plain"}
    csv.writer(file, "excel-tab").writerows([("utt_id", "text"), *texts.items()])
    found = read(tmp_path, file.getvalue().encode())
    assert [item.text for item in found] == list(texts.values())


def test_what_is_no_file_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "device").symlink_to("/dev/zero")
    expected = {
        "nope.tsv": "cannot be read: No such file",
        "folder": "it is no file",
        "pipe": "it is no file",
        "device": "it is no file",
        "loop": "cannot be read: Too many levels",
        "a.wav/t.tsv": "cannot be read: Not a directory",
        "n" * 300: "cannot be read: File name too long",
    }
    for name, message in expected.items():
        for field in ("transcripts", "phones"):
            layout = GenericLayout.model_validate({"type": "generic", field: name})
            with pytest.raises(BadDataError, match=f"LAYOUT: {message}"):
                read_layout(layout, tmp_path)


def test_a_table_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    read(tmp_path, GOOD.encode())
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadDataError, match=r"LAYOUT: cannot be read: Permission denied; in .*t\.tsv"):
        read_layout(GenericLayout(type="generic", transcripts="t.tsv"), tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a\t0.1\t", "a row of 3 fields, expected 4"),
        ("a\t\t1\tX", "times are not numbers: '', '1'"),
        ("a\t0,5\t1\tX", "times are not numbers: '0,5'"),
        ("a\t0\tnan\tX", "a phone X from 0.0 to nan s"),
        ("a\t1\tinf\tX", "a phone X from 1.0 to inf s"),
        ("a\t2\t1\tX", "a phone X from 2.0 to 1.0 s"),
        ("a\t-1\t1\tX", "a phone X from -1.0 to 1.0 s"),
        ("a\t0\t1\t", "a phone  from"),
    ],
)
def test_a_phone_that_is_wrong_is_named_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "p.tsv").write_text(f"utt_id\tstart_s\tend_s\tphone\na\t0\t1\tX\n{row}\n")
    with pytest.raises(BadDataError, match=rf"LAYOUT: {message}.*; in .*p\.tsv, line 3"):
        read_layout(GenericLayout(type="generic", phones="p.tsv"), tmp_path)


def test_the_texts_of_publishers_are_read_with_the_same_care(tmp_path: Path) -> None:
    files: dict[str, tuple[Layout, dict[str, bytes]]] = {
        "librispeech": (
            LibrispeechLayout(type="librispeech"),
            {"1-2-3.flac": b"", "1-2.trans.txt": b"1-2-3 CAF\xc9\n"},
        ),
        "festvox": (
            FestvoxLayout(type="festvox", speaker="v"),
            {"wav/a.wav": b"", "etc/txt.done.data": b'( a "\xe9" )\n'},
        ),
        "phones": (
            FestvoxLayout(type="festvox", speaker="v"),
            {"wav/a.wav": b"", "festival/clunits/v.catalogue": b"EST_Header_End\n\xe9_1 a 0 1 2\n"},
        ),
        "fillets": (
            FilletsLayout(type="fillets", language="cs"),
            {"sound/r/cs/a.ogg": b"", "script/r/dialogs_cs.lua": b'dialogId("a", "f", "\xe9")\n'},
        ),
    }
    for name, (layout, contents) in files.items():
        for path, blob in contents.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(blob)
        with pytest.raises(BadDataError, match=r"LAYOUT: byte 0x.. is not UTF-8; in .*, line \d"):
            read_layout(layout, tmp_path / name)


def test_a_second_text_of_a_publisher_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "1-2-3.flac").touch()
    (tmp_path / "1-2.trans.txt").write_text("1-2-3 ONE\n1-2-3 TWO\n")
    with pytest.raises(BadDataError, match=r"LAYOUT: a second text of 1-2-3; in .*trans\.txt, line 2"):
        read_layout(LibrispeechLayout(type="librispeech"), tmp_path)


def test_what_is_wrong_with_a_table_is_known_at_the_first_look(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("utt_id\ttext\tclient\n" + "x" * 5_000_000)  # only the header is read
    good = GenericLayout(type="generic", transcripts="t.tsv", speaker_column="client")
    check_layout(good, tmp_path)
    check_layout(LibrispeechLayout(type="librispeech"), tmp_path)
    bad = {"speaker_column": "no column nobody", "split_column": "no column nobody", "phones": "No such file"}
    for field, message in bad.items():
        with pytest.raises(BadDataError, match=f"LAYOUT: .*{message}"):
            check_layout(good.model_copy(update={field: "nobody"}), tmp_path)


def test_a_table_that_is_not_there_is_known_before_any_work(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, ('speaker: "', 'transcripts: größe.tsv, speaker: "'))
    (found,) = [item for item in findings(recipe, tmp_path / "store") if isinstance(item, CodedError)]
    assert str(found).startswith("LAYOUT: cannot be read: No such file or directory; in ")
    (tmp_path / "speech" / unicodedata.normalize("NFD", "größe.tsv")).write_text("utt_id\ttext\n")
    assert not [item for item in findings(recipe, tmp_path / "store") if isinstance(item, CodedError)]
