"""Conversations in Kaldi's data directories, AMI's file names, and LibriCSS."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.corpus.layouts.trees import read, touch, write
from wavlm.corpus.layouts import Reading
from wavlm.errors import BadDataError

RTTM = """SPEAKER iaaa 0 0.5 2.0 <NA> <NA> A <NA> <NA>
SPEAKER iaaa 0 2.0 1.5 <NA> <NA> B <NA> <NA>
SPEAKER iaab 0 1.0 3.0 <NA> <NA> C <NA> <NA>
"""


def targets(reading: Reading) -> dict[str, object]:
    return {item.key: json.loads(item.target or "{}") for item in reading}


def callhome(root: Path, rttm: str = RTTM) -> Path:
    touch(root, "audio/iaaa.sph", "audio/iaab.sph")
    (root / "audio/iaaa.sph").write_bytes(b"NIST_1A")
    (root / "audio/iaab.sph").write_bytes(b"NIST_1A")
    write(root, "callhome1/wav.scp", "iaaa ../audio/iaaa.sph\niaab ../audio/iaab.sph\n")
    write(root, "callhome1/reco2dur", "iaaa 5.0\niaab 5.0\n")
    write(root, "callhome1/reco2file_and_channel", "iaaa iaaa A\niaab iaab B\n")
    if rttm:
        write(root, "callhome1/rttm", rttm)
    return root


def test_a_data_directory_gives_whole_recordings_with_turns_channel_and_part(tmp_path: Path) -> None:
    write(callhome(tmp_path), "callhome1/uem", "iaaa 1 0.0 4.0\n")
    found = read(tmp_path, type="kaldi-turns", manifests=["callhome1"])
    assert targets(found) == {
        "iaaa": {"turns": [[0.5, 2.5, "A"], [2.0, 3.5, "B"]], "scored": [[0.0, 4.0]]},
        "iaab": {"turns": [[1.0, 4.0, "C"]]},
    }
    assert [(item.part, item.channel, item.start_s, str(item.path)) for item in found] == [
        ("callhome1", 1, None, "audio/iaaa.sph"),
        ("callhome1", 2, None, "audio/iaab.sph"),
    ]


def test_without_rttm_segments_and_their_speakers_are_the_turns(tmp_path: Path) -> None:
    callhome(tmp_path, rttm="")
    write(tmp_path, "callhome1/segments", "u1 iaaa 0.5 2.5\nu2 iaaa 2.0 3.5\nu3 iaab 1 4\n")
    write(tmp_path, "callhome1/utt2spk", "u1 A\nu2 B\nu3 C\n")
    found = read(tmp_path, type="kaldi-turns", manifests=["callhome1"])
    assert targets(found) == {
        "iaaa": {"turns": [[0.5, 2.5, "A"], [2.0, 3.5, "B"]]},
        "iaab": {"turns": [[1.0, 4.0, "C"]]},
    }


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("rttm", "SPEAKER iaaa 0 1 -2 <NA> <NA> A", r"line 4: duration is -2.*callhome1/rttm"),
        (
            "rttm",
            "SPEAKER nobody 0 1 2 <NA> <NA> A",
            r"line 4: the recording nobody is not in wav\.scp.*callhome1/rttm",
        ),
        ("rttm", "SPEAKER iaab 0 1 9 <NA> <NA> A", r"line 4: it ends at 10 s, and reco2dur says that iaab has 5 s"),
        ("uem", "nobody 1 0 3", r"line 1: the recording nobody is not in wav\.scp.*callhome1/uem"),
        ("reco2dur", "iaac -5", r"line 3: a duration of -5"),
        ("segments", "u1 iaaa 2 1", r"line 1: .*callhome1/segments"),
        ("segments", "u1 iaaa 1 2", r"line 1: utt2spk has no speaker of u1"),
    ],
)
def test_bad_lines_are_named_with_their_file(tmp_path: Path, name: str, line: str, message: str) -> None:
    callhome(tmp_path, rttm="" if name == "segments" else RTTM)
    path = tmp_path / "callhome1" / name
    path.write_text((path.read_text() if path.exists() else "") + line + "\n")
    with pytest.raises(BadDataError, match=f"LAYOUT: {message}"):
        read(tmp_path, type="kaldi-turns", manifests=["callhome1"])


def test_a_directory_without_turns_and_a_command_are_refused(tmp_path: Path) -> None:
    callhome(tmp_path, rttm="")
    with pytest.raises(BadDataError, match="LAYOUT: there is neither an RTTM file nor this one"):
        read(tmp_path, type="kaldi-turns", manifests=["callhome1"])
    write(tmp_path, "callhome1/wav.scp", "iaaa sph2pipe -f wav -p -c 1 /ldc/iaaa.sph |\n")
    with pytest.raises(BadDataError, match=r"LAYOUT: line 1: the audio is a command, which is never run"):
        read(tmp_path, type="kaldi-turns", manifests=["callhome1"])


def test_recordings_of_ami_have_the_name_before_their_microphone(tmp_path: Path) -> None:
    audio = "amicorpus/{0}/audio/{0}.Mix-Headset.wav"
    touch(tmp_path, *(audio.format(name) for name in ("ES2002a", "IS1000b")))
    for name in ("ES2002a", "IS1000b"):
        write(tmp_path, f"only_words/rttms/train/{name}.rttm", f"SPEAKER {name} 1 1.0 2.0 <NA> <NA> FEE005 <NA> <NA>\n")
        write(tmp_path, f"uems/train/{name}.uem", f"{name} 1 0.0 9.0\n")
    found = read(
        tmp_path,
        type="rttm",
        name_pattern="(?P<name>[^/.]+)[.]Mix-Headset[.]wav$",
    )
    expected = {"turns": [[1.0, 3.0, "FEE005"]], "scored": [[0.0, 9.0]]}
    assert [json.loads(item.target or "") for item in found] == [expected, expected]
    with pytest.raises(BadDataError, match="LAYOUT: no RTTM file names"):
        read(tmp_path, type="rttm")


SESSION = "for_release/OV10/overlap_ratio_10.0_sil0.1_1.0_session0_actual10.1"
INFO = """start_time\tend_time\tspeaker\tutterance_id\ttranscription
3.0\t10.5\t1320\t1320-122612-0013\tTHE EXAMINATION
9.5\t12.0\t260\t260-123286-0020\tWE ARE
70.0\t75.0\t1320\t1320-122612-0014\tRESULTED
"""


def libricss(root: Path) -> Path:
    touch(root, f"{SESSION}/record/raw_recording.wav", f"{SESSION}/clean/mix.wav", f"{SESSION}/clean/each_spk.wav")
    write(root, f"{SESSION}/transcription/meeting_info.txt", INFO)
    segments = {Path(SESSION).name: [[0, 16000 * 20], [16000 * 60, 16000 * 80]]}
    return write(root, "for_release/all_res.json", json.dumps(segments))


def test_sessions_of_libricss_have_turns_and_words(tmp_path: Path) -> None:
    (item,) = read(libricss(tmp_path), type="libricss", root="for_release")
    target = json.loads(item.target or "")
    assert target["turns"] == [[3.0, 10.5, "1320"], [9.5, 12.0, "260"], [70.0, 75.0, "1320"]]
    assert target["words"][1] == [9.5, 12.0, "260", "WE ARE"]
    assert (item.part, item.path.name, item.start_s) == ("OV10", "raw_recording.wav", None)
    (clean,) = read(tmp_path, type="libricss", root="for_release", audio="clean/mix.wav")
    assert clean.path.name == "mix.wav"


def test_segments_of_libricss_are_regions_whose_times_begin_with_them(tmp_path: Path) -> None:
    first, second = read(libricss(tmp_path), type="libricss", root="for_release", segments=True)
    assert (first.start_s, first.end_s, second.start_s, second.end_s) == (None, 20.0, 60.0, 80.0)
    assert first.key.endswith("segment_0")
    assert json.loads(second.target or "")["words"] == [[10.0, 15.0, "1320", "RESULTED"]]


@pytest.mark.parametrize(
    ("line", "message"),
    [("1.0\t2.0\t1320\tx", "line 5: 4 fields"), ("2.0\t1.0\t1320\tx\tY", "line 5: an utterance from 2.0 to 1.0 s")],
)
def test_bad_lines_of_libricss_are_named(tmp_path: Path, line: str, message: str) -> None:
    write(libricss(tmp_path), f"{SESSION}/transcription/meeting_info.txt", INFO + line + "\n")
    with pytest.raises(BadDataError, match=rf"LAYOUT: {message}.*meeting_info\.txt"):
        read(tmp_path, type="libricss", root="for_release")
