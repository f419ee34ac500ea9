"""Manifests as people have them: commands, addresses, lines that are cut, and names that do not fit.

Every bad line is named with its file, all of a file at once, and nothing is run or fetched.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from tests.corpus.layouts.trees import lines, read, rows, touch, write
from wavlm.corpus.layouts import check_files
from wavlm.errors import BadDataError

NEMO = {"type": "nemo", "manifests": ["m.jsonl"]}
GOOD = {"audio_filepath": "a.wav"}


def kaldi(root: Path, scp: str, **tables: str) -> Path:
    touch(root, "a.wav", "b.wav")
    write(root, "wav.scp", scp)
    for name, text in tables.items():
        write(root, name, text)
    return root


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ("touch {0}/run |", "the audio is a command, which is never run"),
        ("sph2pipe -f wav x.sph|", "the audio is a command"),
        ("| cat > x", "the audio is a command"),
        ("-", "the audio is a command"),
        ("pipe:cat x.wav", "the audio is a command"),
        ("foo.ark:123", "the audio lies in an archive"),
        ("/data/foo.ark:123[0:10]", "the audio lies in an archive"),
        ("foo.zip:10:20", "the audio lies in an archive"),
        ("https://example.org/a.wav", "the audio is an address, which is not fetched"),
        ("s3://bucket/a.wav", "the audio is an address"),
        ("", "no audio file is named"),
    ],
)
def test_audio_that_is_no_file_is_never_run_or_fetched(tmp_path: Path, audio: str, message: str) -> None:
    audio = audio.format(tmp_path)
    kaldi(tmp_path, f"a a.wav\nb {audio}\n")
    with pytest.raises(BadDataError, match=rf"LAYOUT: line 2: {message}.*wav\.scp; "):
        read(tmp_path, type="kaldi")
    write(tmp_path, "m.jsonl", lines(GOOD, {"audio_filepath": audio}))
    with pytest.raises(BadDataError, match=rf"LAYOUT: line 2: {message}.*m\.jsonl; "):
        read(tmp_path, **NEMO)
    write(tmp_path, "t.csv", f'path\na.wav\n"{audio}"\n')
    if audio:  # a blank line of a table is left out
        with pytest.raises(BadDataError, match=rf"LAYOUT: line 3: {message}.*t\.csv; "):
            read(tmp_path, type="table", manifests=["t.csv"])
    assert not (tmp_path / "run").exists()


def test_all_bad_lines_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    bad = ["{", "[1]", '"x"', json.dumps({"text": "no audio"}), json.dumps({**GOOD, "offset": "x"})]
    write(tmp_path, "m.jsonl", "\n".join([json.dumps(GOOD), *bad, *["}"] * 20]) + "\n")
    with pytest.raises(BadDataError) as caught:
        read(tmp_path, **NEMO)
    message = str(caught.value)
    assert [f"line {number}: " in message for number in range(1, 13)] == [False, *[True] * 10, False]
    assert "and 15 more; in " in message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"offset": -1}, "a time of -1.0 s"),
        ({"offset": float("nan")}, "a time of nan s"),
        ({"offset": float("inf")}, "a time of inf s"),
        ({"offset": 10**400}, "offset is no number"),
        ({"offset": True}, "offset is no number: 'True'"),
        ({"offset": [1]}, "offset is no number"),
        ({"offset": "1_0"}, "offset is no number: '1_0'"),
        ({"channel_selector": -1}, "channel '-1', counted from 0"),
        ({"channel_selector": 1.5}, "channel '1.5', counted from 0"),
        ({"channel_selector": 10**6}, "channel '1000000', counted from 0"),
        ({"text": {"a": 1}}, "expected a text, found"),
        ({"text": "\ud800"}, "half a letter"),
        ({"text": "a\0b"}, "NUL or half a letter"),
        ({"audio_filepath": "a\0.wav"}, "a path with a NUL"),
        ({"audio_filepath": ["a.wav", "b.wav"]}, "audio_filepath lists several files"),
        ({"audio_filepath": 3}, "no audio_filepath"),
        ({"shard_id": 0}, "the audio lies in a tar"),
    ],
)
def test_a_value_that_is_none_is_named(tmp_path: Path, row: dict[str, object], message: str) -> None:
    touch(tmp_path, "a.wav")
    write(tmp_path, "m.jsonl", lines(GOOD, {**GOOD, "text": "x", **row}))
    with pytest.raises(BadDataError, match=rf"LAYOUT: line 2: .*{message}"):
        read(tmp_path, **NEMO)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"segments": "u a 0\n"}, r"line 1: 3 fields; in .*segments; expected utterance, recording, start, end"),
        ({"segments": "u a 0 1 0 9\n"}, r"line 1: 6 fields; in .*segments"),
        ({"segments": "u a x 1\n"}, r"line 1: the start is no number: 'x'; in .*segments"),
        ({"segments": "u a 0 -2\n"}, r"line 1: a time of -2.0 s; in .*segments"),
        ({"segments": "u a 0 1 A\n"}, r"line 1: channel is no number: 'A'; in .*segments"),
        ({"segments": "u a 0 1\nu a 1 2\n"}, r"line 2: u stands in an earlier line, too; in .*segments"),
        ({"segments": ""}, r"it has no rows; in .*segments"),
        ({"utt2spk": "a\n"}, r"line 1: found ''; in .*utt2spk"),
        ({"utt2spk": "a x y\n"}, r"line 1: found 'x y'; in .*utt2spk"),
        ({"utt2spk": "a x\na y\n"}, r"line 2: a stands in an earlier line, too; in .*utt2spk"),
        ({"reco2file_and_channel": "a a C\n"}, r"line 1: channel is no number: 'C'; in .*reco2file_and_channel"),
        ({"reco2file_and_channel": "a A\n"}, r"line 1: found 'A'; in .*reco2file_and_channel"),
    ],
)
def test_a_bad_table_of_kaldi_is_named(tmp_path: Path, tables: dict[str, str], message: str) -> None:
    kaldi(tmp_path, "a a.wav\nb b.wav\n", **tables)
    with pytest.raises(BadDataError, match=f"LAYOUT: {message}"):
        read(tmp_path, type="kaldi")


def test_segments_of_unknown_recordings_are_counted(tmp_path: Path) -> None:
    kaldi(tmp_path, "a a.wav\n", segments="u a 0 1\nv b.wav 0 1\n")  # that is a file, and no recording
    with pytest.raises(BadDataError, match=r"TABLE_JOIN: 1 of 2 rows .*line 2: v \(left over\)\; in .*segments"):
        read(tmp_path, type="kaldi")
    found = read(tmp_path, type="kaldi", max_left_over_rows=0.5)
    assert rows(found) == [("u", "a.wav", None, 1.0, None)]


def test_regions_that_hold_nothing_go_on_to_the_stage_that_refuses_them(tmp_path: Path) -> None:
    kaldi(tmp_path, "a a.wav\n", segments="u a 2 1\nv a 1 1\n")
    assert [row[2:4] for row in rows(read(tmp_path, type="kaldi"))] == [(1.0, 1.0), (2.0, 1.0)]


def test_a_name_that_stands_twice_is_a_repetition_or_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav")
    write(tmp_path, "m.jsonl", lines(GOOD, {"audio_filepath": "./a.wav"}, {"audio_filepath": "b.wav"}))
    found = read(tmp_path, **NEMO, max_left_over_rows=0.5)
    (account,) = found.tables
    assert (account.by_path, account.duplicates, len(found.recordings)) == (2, 1, 2)
    write(tmp_path, "m.jsonl", lines(GOOD, {**GOOD, "text": "other"}))
    with pytest.raises(BadDataError, match=r"LAYOUT: line 2: a.wav stands in line 1 of m\.jsonl too"):
        read(tmp_path, **NEMO)
    write(tmp_path, "m.jsonl", lines(GOOD))
    write(tmp_path, "v.jsonl", lines(GOOD))
    with pytest.raises(BadDataError, match=r"LAYOUT: line 1: a.wav stands in line 1 of m\.jsonl too.*v\.jsonl"):
        read(tmp_path, **NEMO, valid=["v.jsonl"])


@pytest.mark.parametrize("damage", ["cut", "changed", "not gzip", "empty"])
def test_a_compressed_manifest_that_is_damaged_is_named(tmp_path: Path, damage: str) -> None:
    touch(tmp_path, "a.wav")
    whole = gzip.compress("".join(json.dumps({**GOOD, "offset": n}) + "\n" for n in range(3000)).encode())
    middle = len(whole) // 2
    blob = {
        "cut": whole[:middle],
        "changed": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
        "not gzip": b"{}\n",
        "empty": gzip.compress(b""),
    }[damage]
    (tmp_path / "m.jsonl.gz").write_bytes(blob)
    with pytest.raises(BadDataError, match=r"LAYOUT: .*m\.jsonl\.gz") as caught:
        read(tmp_path, type="nemo", manifests=["m.jsonl.gz"])
    assert str(caught.value).count("; ") >= 2


def test_names_that_a_key_cannot_hold_are_escaped(tmp_path: Path) -> None:
    touch(tmp_path, "a b/ü.wav", "c#1.wav")
    kaldi(tmp_path, "u/1 a b/ü.wav\nü:2 c#1.wav\n")
    assert [item.key for item in read(tmp_path, type="kaldi")] == ["u__1", "_xc3_xbc_x3a2"]
    write(tmp_path, "m.jsonl", lines({"audio_filepath": "a b/u\u0308.wav"}, {"audio_filepath": "c#1.wav "}))
    assert [str(item.path) for item in read(tmp_path, **NEMO)] == ["a b/ü.wav", "c#1.wav"]


def test_odd_lines_are_read_all_the_same(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav")
    for text in ("\ufeffa a.wav\r\nb\tb.wav\r\n", "a   a.wav  \n\nb b.wav", "a ./a.wav\nb .//b.wav\n"):
        (tmp_path / "wav.scp").write_bytes(text.encode())
        assert [item.key for item in read(tmp_path, type="kaldi")] == ["a", "b"]
    (tmp_path / "wav.scp").write_bytes("a a.wav\nb caf\xe9.wav\n".encode("latin-1"))
    with pytest.raises(BadDataError, match=r"LAYOUT: byte 0xe9 is not UTF-8; in .*wav\.scp, line 2"):
        read(tmp_path, type="kaldi")


def test_folders_pipes_and_broken_links_are_no_audio(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.wav", "in/folder/x")
    os.mkfifo(tmp_path / "out")
    (tmp_path / "in/broken.wav").symlink_to("nowhere")
    listed = ["a.wav", "folder", "../out", "broken.wav", "/dev/zero", "../nowhere.wav", "a.wav/b.wav", "n" * 300]
    write(tmp_path, "in/m.jsonl", lines(*({"audio_filepath": name} for name in listed)))
    found = read(tmp_path / "in", **NEMO, max_left_over_rows=1.0)
    assert [str(item.path) for item in found] == ["a.wav"]
    assert (found.tables[0].left_over, found.files.used) == (7, 1)


def test_audio_that_cannot_be_opened_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "in/a.wav", "in/b.wav", "out/c.wav")
    closed = {str(tmp_path / "in/b.wav"), str(tmp_path / "in/../out/c.wav")}
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) not in closed)
    write(tmp_path, "in/m.jsonl", lines(*({"audio_filepath": name} for name in ("a.wav", "b.wav", "../out/c.wav"))))
    found = read(tmp_path / "in", **NEMO, max_left_over_rows=1.0)
    with pytest.raises(BadDataError, match=r"FILES_UNREADABLE: .*2 unreadable \(./../out/c\.wav, b\.wav\)"):
        check_files(found.files, 0.0, "x", tmp_path)


def test_every_file_is_accounted_for(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.wav", "in/b.wav", "in/.hidden.wav", "in/notes.txt", "out/c.wav")
    write(tmp_path, "in/m.jsonl", lines(GOOD, {**GOOD, "offset": 1}, {"audio_filepath": "../out/c.wav"}))
    files = read(tmp_path / "in", **NEMO).files
    assert files.used == 2
    assert {item.cause: item.files for item in files.left_out} == {"unlisted": 2, "other": 2}
    assert files.found == files.used + sum(item.files for item in files.left_out)
