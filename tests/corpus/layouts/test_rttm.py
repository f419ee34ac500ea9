"""Turns of speakers: RTTM and UEM files beside the audio."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from tests.corpus.layouts.trees import read, touch, write
from wavlm.corpus.layouts import Reading
from wavlm.errors import BadDataError

AMI = Path(__file__).parents[4] / "shared" / "eval-data" / "ami"

RTTM = """;; a comment
SPKR-INFO a 1 <NA> <NA> <NA> adult_male ann <NA> <NA>
SPEAKER a 1 2.50 1.25 <NA> <NA> bob <NA> <NA>
SPEAKER a 1 0.10 0.20 <NA> <NA> ann <NA> <NA>
SPEAKER a 1 9.00 0.00 <NA> <NA> ann <NA> <NA>

SPEAKER b 1 3.168 0.800 <NA> <NA> cid
SPEAKER elsewhere 1 0 1 <NA> <NA> ann <NA>
"""


def targets(reading: Reading) -> dict[str, object]:
    return {item.key: json.loads(item.target or "{}") for item in reading}


def test_turns_are_in_the_order_of_time_and_scored_stretches_are_kept(tmp_path: Path) -> None:
    touch(tmp_path, "audio/a.wav", "audio/b.flac")
    write(tmp_path, "all.rttm", RTTM)
    write(tmp_path, "all.uem", "a NA 5.0 9.5\na NA 0.0 4.0\n")
    found = read(tmp_path, type="rttm", partition_pattern="audio/(?P<part>[ab])")
    assert targets(found) == {
        "audio__a": {"turns": [[0.1, 0.3, "ann"], [2.5, 3.75, "bob"]], "scored": [[0.0, 4.0], [5.0, 9.5]]},
        "audio__b": {"turns": [[3.168, 3.968, "cid"]]},
    }
    assert [(item.speaker, item.part) for item in found] == [("unknown", "a"), ("unknown", "b")]
    assert [(table.table, table.rows, table.left_over) for table in found.tables] == [
        ("all.rttm", 4, 1),
        ("all.uem", 2, 0),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("SPEAKER a 1 -0.1 1 <NA> <NA> ann", "line 2: start is -0.1"),
        ("SPEAKER a 1 1 -2 <NA> <NA> ann", "line 2: duration is -2"),
        ("SPEAKER a 1 one 2 <NA> <NA> ann", "line 2: start is no number"),
        ("SPEAKER a 1 1 nan <NA> <NA> ann", "line 2: duration is nan"),
        ("SPEAKER a 1 1 2 ann", "line 2: 6 fields"),
    ],
)
def test_a_turn_that_cannot_be_is_named_with_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    touch(tmp_path, "a.wav")
    write(tmp_path, "a.rttm", f"SPEAKER a 1 0 1 <NA> <NA> ann\n{line}\n")
    with pytest.raises(BadDataError, match="LAYOUT") as caught:
        read(tmp_path, type="rttm")
    assert message in str(caught.value)
    assert "a.rttm" in str(caught.value)


@pytest.mark.parametrize("line", ["a NA 3 3", "a NA 4 3", "a NA 3", "a NA x 3"])
def test_a_scored_stretch_that_cannot_be_is_named_with_file_and_line(tmp_path: Path, line: str) -> None:
    touch(tmp_path, "a.wav")
    write(tmp_path, "a.rttm", "SPEAKER a 1 0 1 <NA> <NA> ann\n")
    write(tmp_path, "a.uem", f"{line}\n")
    with pytest.raises(BadDataError, match=r"LAYOUT: line 1: .*a\.uem"):
        read(tmp_path, type="rttm")


def test_a_recording_without_turns_is_an_error_unless_the_layout_says_what_it_is(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav")
    write(tmp_path, "a.rttm", "SPEAKER a 1 0 1 <NA> <NA> ann\n")
    with pytest.raises(BadDataError, match=r"LAYOUT: no RTTM file names b\.wav"):
        read(tmp_path, type="rttm")
    assert targets(read(tmp_path, type="rttm", without_turns="silent")) == {
        "a": {"turns": [[0.0, 1.0, "ann"]]},
        "b": {"turns": []},
    }
    assert [item.key for item in read(tmp_path, type="rttm", without_turns="leave out")] == ["a"]


def test_two_recordings_of_one_name_and_two_files_about_one_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.wav", "y/a.wav")
    write(tmp_path, "a.rttm", "SPEAKER a 1 0 1 <NA> <NA> ann\n")
    with pytest.raises(BadDataError, match="have one name"):
        read(tmp_path, type="rttm")
    write(tmp_path, "b.rttm", "SPEAKER a 1 0 1 <NA> <NA> bob\n")
    with pytest.raises(BadDataError, match=r"another file is about .*a\.wav, too.*b\.rttm"):
        read(tmp_path, type="rttm", audio="x/*.wav")


def test_a_folder_without_rttm_files_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    with pytest.raises(BadDataError, match=r"no file \*\*/\*\.rttm"):
        read(tmp_path, type="rttm")


@pytest.mark.skipif(not AMI.is_dir(), reason="the AMI clips are not there")
def test_the_clips_of_ami_have_the_seconds_of_speech_of_their_reference() -> None:
    found = read(AMI, type="rttm", partition_pattern="(?P<part>trn|dev|tst)[0-9]+")
    expected: dict[str, float] = defaultdict(float)
    for text in (AMI / "reference.rttm").read_text().splitlines():
        fields = text.split()
        expected[fields[1]] += float(fields[4])
    spoken = {key: sum(end - start for start, end, _ in value["turns"]) for key, value in targets(found).items()}  # type: ignore[index]
    assert spoken.keys() == expected.keys()
    assert all(abs(spoken[name] - expected[name]) < 1e-4 for name in expected)
    assert {item.part for item in found} == {"trn", "dev", "tst"}
