"""Data directories of Kaldi, as https://kaldi-asr.org/doc/data_prep.html and validate_data_dir.sh describe them."""

from pathlib import Path

import pytest

from tests.corpus.layouts.trees import read, rows, touch, words, write
from wavlm.corpus.layouts import read_layout
from wavlm.errors import BadDataError
from wavlm.specs.manifests import KaldiLayout

KALDI = KaldiLayout(type="kaldi")


def write_calls(root: Path, folder: str = "") -> Path:
    """Two stereo calls in segments, as Switchboard has them."""
    touch(root, "audio/sw02001.wav", "audio/sw02005.wav")
    prefix = f"{folder}/" if folder else ""
    up = "../" * len(Path(folder).parts)
    write(
        root,
        f"{prefix}wav.scp",
        f"sw02001-A {up}audio/sw02001.wav\nsw02001-B {up}audio/sw02001.wav\nsw02005-A {up}audio/sw02005.wav\n",
    )
    write(root, f"{prefix}reco2file_and_channel", "sw02001-A sw02001 A\nsw02001-B sw02001 B\nsw02005-A sw02005 A\n")
    write(
        root,
        f"{prefix}segments",
        "a-1 sw02001-A 0.00 9.21\na-2 sw02001-A 9.21 -1\nb-1 sw02001-B 3.5 7.25\nc-1 sw02005-A 1.5 2\n",
    )
    write(root, f"{prefix}utt2spk", "a-1 ann\na-2 ann\nb-1 bob\nc-1 cid\n")
    write(root, f"{prefix}utt2lang", "a-1 en\na-2 en\nb-1 fr\nc-1 en\n")
    write(root, f"{prefix}text", "a-1 HI UM YEAH\na-2\nb-1 OUI\nc-1 YES  IT IS\n")
    return root


def test_utterances_without_segments_are_whole_files(tmp_path: Path) -> None:
    touch(tmp_path, "wav/1.wav", "wav/2.flac")
    write(tmp_path, "wav.scp", "ann-1 wav/1.wav\nbob-2 wav/2.flac\n")
    write(tmp_path, "utt2spk", "ann-1 ann\nbob-2 bob\n")
    write(tmp_path, "text", "ann-1 ONE TWO\nbob-2 THREE\n")
    found = read_layout(KALDI, tmp_path)
    assert rows(found) == [("ann-1", "wav/1.wav", None, None, None), ("bob-2", "wav/2.flac", None, None, None)]
    assert words(found) == {"ann-1": ("ann", None, "ONE TWO"), "bob-2": ("bob", None, "THREE")}
    assert [table.table for table in found.tables] == ["utt2spk", "text", "wav.scp"]
    assert all(table.rows == table.by_path == 2 for table in found.tables)


def test_segments_are_regions_of_recordings_and_of_their_channels(tmp_path: Path) -> None:
    found = read_layout(KALDI, write_calls(tmp_path))
    assert rows(found) == [
        ("a-1", "audio/sw02001.wav", None, 9.21, 1),
        ("b-1", "audio/sw02001.wav", 3.5, 7.25, 2),
        ("a-2", "audio/sw02001.wav", 9.21, None, 1),  # -1: to the end
        ("c-1", "audio/sw02005.wav", 1.5, 2.0, 1),
    ]
    assert words(found) == {
        "a-1": ("ann", "en", "HI UM YEAH"),
        "a-2": ("ann", "en", ""),
        "b-1": ("bob", "fr", "OUI"),
        "c-1": ("cid", "en", "YES  IT IS"),
    }


def test_the_channel_of_a_segment_counts_from_0_as_in_extract_segments(tmp_path: Path) -> None:
    touch(tmp_path, "x.wav")
    write(tmp_path, "wav.scp", "x x.wav\n")
    write(tmp_path, "segments", "a x 0 1 0\nb x 0 1 1\nc x 0 1\n")
    assert [(item.key, item.channel) for item in read_layout(KALDI, tmp_path)] == [("c", None), ("a", 1), ("b", 2)]


def test_several_directories_are_read_and_some_are_held_out(tmp_path: Path) -> None:
    write_calls(tmp_path, "data/train")
    touch(tmp_path, "audio/dev.wav")
    write(tmp_path, "data/dev/wav.scp", "d ../../audio/dev.wav\n")
    for named in (
        {"manifests": ("data/train",), "valid": ("data/dev",)},
        {"manifests": ("data/*/wav.scp",), "valid": ("data/dev/wav.scp",)},
    ):
        found = read(tmp_path, type="kaldi", **named)
        assert {item.key: item.split for item in found} == {
            **dict.fromkeys(("a-1", "a-2", "b-1", "c-1"), "train"),
            "d": "valid",
        }


def test_paths_may_start_where_the_recipe_runs(tmp_path: Path) -> None:
    touch(tmp_path, "egs/wav/1.wav")
    write(tmp_path, "egs/data/train/wav.scp", "u wav/1.wav\n")
    for root in (str(tmp_path / "egs"), "../..", str(tmp_path / "egs/wav/..")):
        found = read(tmp_path / "egs/data/train", type="kaldi", audio_root=root)
        assert rows(found) == [("u", "wav/1.wav", None, None, None)]
    with pytest.raises(BadDataError, match=r"TABLE_JOIN: 1 of 1 rows name audio that is not there.*give audio_root"):
        read(tmp_path / "egs/data/train", type="kaldi")


def test_absolute_paths_lead_into_the_folder_or_out_of_it(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.wav", "out/b.wav")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    write(tmp_path, "in/wav.scp", f"a {tmp_path}/in/a.wav\nb {tmp_path}/out/b.wav\nc {tmp_path}/link/../in/a.wav\n")
    for folder in ("in", "link"):
        found = read_layout(KALDI, tmp_path / folder)
        assert ("b", f"{tmp_path}/out/b.wav") in [row[:2] for row in rows(found)]
        assert {str(item.path) for item in found if item.key != "b"} == {"a.wav"}
        assert found.outside == (f"{tmp_path}/out/b.wav",)
        assert (found.files.found, found.files.used) == (3, 2)  # the audio in and out of the folder, and wav.scp


def test_rows_of_other_tables_are_counted(tmp_path: Path) -> None:
    write_calls(tmp_path)
    write(tmp_path, "text", "a-1 HI\nnobody X\n")
    found = read(tmp_path, type="kaldi", max_left_over_rows=0.5)
    (text,) = [table for table in found.tables if table.table == "text"]
    assert (text.rows, text.by_path, text.left_over, text.without_row) == (2, 1, 1, 3)
    assert text.examples == ("line 2: nobody (left over)",)
    with pytest.raises(BadDataError, match=r"TABLE_JOIN: 1 of 2 rows name no recording.*text; "):
        read_layout(KALDI, tmp_path)


def test_a_recording_that_no_segment_names_is_counted(tmp_path: Path) -> None:
    touch(tmp_path, "x.wav", "y.wav")
    write(tmp_path, "wav.scp", "x x.wav\ny y.wav\n")
    write(tmp_path, "segments", "a x 0 1\n")
    found = read_layout(KALDI, tmp_path)
    assert {table.table: table.without_row for table in found.tables} == {"wav.scp": 0, "segments": 1}
    assert found.files.count("unlisted") == 1


def test_a_list_of_another_name_is_the_one_that_is_read(tmp_path: Path) -> None:
    touch(tmp_path, "1.wav", "2.wav")
    write(tmp_path, "wav.scp", "one 1.wav\n")
    write(tmp_path, "clean_wav.scp", "two 2.wav\n")
    layout = KaldiLayout(type="kaldi", manifests=("clean_wav.scp",))
    assert rows(read_layout(layout, tmp_path)) == [("two", "2.wav", None, None, None)]
