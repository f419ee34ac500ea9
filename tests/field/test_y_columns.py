"""Kind Y, columns: corpora whose tables say who speaks, in which language, and which split it is.

People reported: Common Voice names speakers in a column of its tables; speakers could be read from paths only.
"""

from pathlib import Path

import pytest
import soundfile
from pydantic import ValidationError

from tests.corpus.corpora import of_folder, tone
from wavlm.corpus.build import build_corpus
from wavlm.corpus.layouts import Recording, read_layout
from wavlm.corpus.manifest import read_manifest
from wavlm.errors import BadDataError
from wavlm.execution.progress import no_progress
from wavlm.specs.layouts import GenericLayout

COMMON_VOICE = {
    "type": "generic",
    "transcripts": "validated.tsv",
    "id_column": "path",
    "text_column": "sentence",
    "speaker_column": "client_id",
    "language_column": "locale",
}
ROWS = """client_id\tpath\tsentence\tage\tlocale\tsplit
abc\tcv_1.mp3\tHALLO\t\tde\ttrain
def\tcv_2.mp3\tWELT\t20\tde\tdev
abc\tcv_3.mp3\tWORLD\t\ten\tTest
\tcv_4.mp3\tNOBODY\t\ten\ttrain
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    clips = tmp_path / "raw/clips"
    clips.mkdir(parents=True)
    for number in range(1, 5):
        soundfile.write(clips / f"cv_{number}.flac", tone(0.5, 200 + 10 * number), 16000)
    (tmp_path / "raw/validated.tsv").write_text(ROWS, encoding="utf-8")
    return tmp_path / "raw"


def layout(**fields: object) -> GenericLayout:
    return GenericLayout.model_validate({**COMMON_VOICE, **fields})


def test_speakers_texts_and_languages_come_from_columns(folder: Path) -> None:
    found = [(item.key, item.speaker, item.text, item.language) for item in read_layout(layout(), folder)]
    assert found == [
        ("clips__cv_1", "abc", "HALLO", "de"),
        ("clips__cv_2", "def", "WELT", "de"),
        ("clips__cv_3", "abc", "WORLD", "en"),
        ("clips__cv_4", "unknown", "NOBODY", "en"),
    ]


def test_the_facts_have_the_hours_of_each_language(folder: Path, tmp_path: Path) -> None:
    facts = build_corpus(of_folder(folder, layout()), tmp_path, tmp_path / "out", no_progress)
    assert facts.speakers == 3
    assert facts.hours_per_language == {"de": 0.0003, "en": 0.0003}
    (table,) = facts.tables
    assert (table.rows, table.by_stem, table.without_row) == (4, 4, 0)


def test_the_language_of_a_corpus_is_that_of_recordings_without_one(folder: Path, tmp_path: Path) -> None:
    table = folder / "validated.tsv"
    table.write_text(ROWS.replace("NOBODY\t\ten", "NOBODY\t\t"), encoding="utf-8")
    spec = of_folder(folder, layout()).model_copy(update={"language": "sw"})
    build_corpus(spec, tmp_path, tmp_path / "out", no_progress)
    found = {row.key[-1]: row.language for row in read_manifest(tmp_path / "out")}
    assert found == {"1": "de", "2": "de", "3": "en", "4": "sw"}


def test_a_split_of_the_publisher_is_kept_and_its_test_part_is_not_used(folder: Path, tmp_path: Path) -> None:
    spec = of_folder(folder, layout(split_column="split"))
    facts = build_corpus(spec, tmp_path, tmp_path / "out", no_progress)
    assert {row.key: row.split for row in read_manifest(tmp_path / "out")} == {
        "clips__cv_1": "train",
        "clips__cv_2": "valid",
        "clips__cv_4": "train",
    }
    assert facts.split_rule == "layout"
    assert {reason: amount.recordings for reason, amount in facts.excluded.items()} == {"TEST_SPLIT": 1}


def test_a_recording_of_no_known_split_is_not_used_and_missed(folder: Path, tmp_path: Path) -> None:
    soundfile.write(folder / "clips/cv_5.flac", tone(0.5, 300), 16000)
    spec = of_folder(folder, layout(split_column="split"))
    with pytest.raises(BadDataError, match=r"FILES_LEFT_OUT: 1 of 5 .*1 no-row \(clips/cv_5\.flac\)"):
        build_corpus(spec, tmp_path, tmp_path / "out", no_progress)


def test_a_split_that_nobody_knows_is_named_with_its_line(folder: Path) -> None:
    table = folder / "validated.tsv"
    table.write_text(ROWS.replace("\tdev\n", "\teval\n"), encoding="utf-8")
    with pytest.raises(
        BadDataError, match=r"LAYOUT: a split 'eval'; in .*validated\.tsv, line 3; expected one of train"
    ):
        read_layout(layout(split_column="split"), folder)


def test_one_recording_has_one_speaker(folder: Path) -> None:
    table = folder / "validated.tsv"
    table.write_text(ROWS + "xyz\tcv_1.mp3\tHALLO\t\tde\ttrain\n", encoding="utf-8")
    with pytest.raises(BadDataError, match=r"LAYOUT: cv_1\.mp3 and line 2, cv_1\.mp3, say different things"):
        read_layout(layout(), folder)


def test_only_what_a_table_lists_is_used_if_that_is_asked_for(folder: Path) -> None:
    (folder / "train.tsv").write_text("client_id\tpath\nabc\tcv_1.mp3\n", encoding="utf-8")
    fields = {"transcripts": "train.tsv", "text_column": "", "language_column": ""}
    found = read_layout(layout(**fields, only_listed=True), folder)
    assert list(found) == [Recording("clips__cv_1", found.recordings[0].path, "abc")]
    assert [(str(item.cause), item.files) for item in found.files.left_out] == [("excluded", 3), ("other", 2)]


def test_a_table_without_the_columns_says_which_fields_name_them(folder: Path) -> None:
    plain = GenericLayout(type="generic", speaker="(?P<speaker>[^/]+)/[^/]+$", transcripts="validated.tsv")
    with pytest.raises(
        BadDataError, match=r"no column utt_id, text, but client_id, path, sentence.*id_column, text_column"
    ):
        read_layout(plain, folder)


@pytest.mark.parametrize(
    "fields",
    [
        {"speaker_column": "client_id"},
        {"split_column": "split"},
        {"only_listed": True},
        {"speaker": "(?P<speaker>.)", "speaker_column": "client_id", "transcripts": "t.tsv"},
        {"id_column": ""},
    ],
)
def test_columns_without_a_table_are_refused_when_the_spec_is_read(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GenericLayout.model_validate({"type": "generic", **fields})
