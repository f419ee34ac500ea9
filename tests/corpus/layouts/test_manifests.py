"""Manifests of NeMo, ESPnet and fairseq, and tables with named columns, as their own scripts write them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tests.corpus.layouts.trees import layout_of, lines, read, rows, touch, words, write
from wavlm.corpus.layouts import check_layout, name_of
from wavlm.errors import BadDataError

TABLE = {"type": "table", "path_column": "file", "text_column": "text"}


def test_a_row_of_nemo_is_a_file_or_a_region_with_an_offset(tmp_path: Path) -> None:
    """As scripts/dataset_processing and the diarization tools of NeMo write them."""
    touch(tmp_path, "wav/a.wav", "wav/b.wav")
    manifest = lines(
        {"audio_filepath": "wav/a.wav", "duration": 2.5, "text": "hello", "speaker": 17, "lang": "en"},
        {"audio_filepath": "wav/b.wav", "offset": 0.0, "duration": 1.5, "text": "x"},
        {"audio_filepath": "wav/b.wav", "offset": 1.5, "duration": None, "text": None, "channel_selector": 1},
    )
    write(tmp_path, "train.json", manifest)
    found = read(tmp_path, type="nemo", manifests=["train.json"])
    assert rows(found) == [
        ("wav__a", "wav/a.wav", None, None, None),
        ("wav__b-0-1500", "wav/b.wav", None, 1.5, None),
        ("wav__b-1500-end-c2", "wav/b.wav", 1.5, None, 2),
    ]
    assert words(found)["wav__a"] == ("17", "en", "hello")
    with gzip.open(tmp_path / "train.json.gz", "wt") as file:
        file.write(manifest)
    assert rows(read(tmp_path, type="nemo", manifests=["train.json.gz"])) == rows(found)


def test_a_tsv_of_espnet_has_no_header_and_a_jsonl_has_its_names(tmp_path: Path) -> None:
    """As egs3/mini_an4 of ESPnet3 writes the first one."""
    touch(tmp_path, "wav/a.wav", "wav/b.wav")
    write(tmp_path, "train.tsv", "utt-1\twav/a.wav\tHELLO THERE\nutt-2\twav/b.wav\n")
    found = read(tmp_path, type="espnet", manifests=["train.tsv"])
    assert words(found) == {"utt-1": ("unknown", None, "HELLO THERE"), "utt-2": ("unknown", None, None)}
    write(tmp_path, "t.jsonl", lines({"utt_id": "u", "wav_path": "wav/a.wav", "text": "HI", "spk": "s", "lang": "de"}))
    assert words(read(tmp_path, type="espnet", manifests=["t.jsonl"])) == {"u": ("s", "de", "HI")}


def test_a_data_directory_of_espnet_is_one_of_kaldi(tmp_path: Path) -> None:
    touch(tmp_path, "dump/raw/train/data/a.flac")
    write(tmp_path, "dump/raw/train/wav.scp", "utt-1 dump/raw/train/data/a.flac\n")
    write(tmp_path, "dump/raw/train/utt2num_samples", "utt-1 100\n")
    write(tmp_path, "dump/raw/train/text", "utt-1 HI\n")
    found = read(tmp_path, type="espnet", manifests=["dump/raw/train"], audio_root=".")
    assert words(found) == {"utt-1": ("unknown", None, "HI")}
    assert str(found.recordings[0].path) == "dump/raw/train/data/a.flac"


def test_a_tsv_of_fairseq_names_its_root_and_has_texts_beside_it(tmp_path: Path) -> None:
    """As examples/wav2vec/wav2vec_manifest.py and libri_labels.py of fairseq write them."""
    touch(tmp_path, "audio/1/a.flac", "audio/2/b.flac")
    root = tmp_path / "audio"
    write(tmp_path, "m/train.tsv", f"{root}\n1/a.flac\t32000\n")
    write(tmp_path, "m/train.wrd", "HELLO YOU\n")
    write(tmp_path, "m/valid.tsv", f"{root}\n2/b.flac\t16000\n")
    write(tmp_path, "m/valid.ltr", "B Y E | Y O U |\n")
    found = read(tmp_path / "m", type="fairseq", valid=["valid.tsv"])
    assert [(str(item.path), item.split, item.text) for item in found] == [
        (f"{root}/1/a.flac", "train", "HELLO YOU"),
        (f"{root}/2/b.flac", "valid", "BYE YOU"),
    ]
    assert [name_of(item.key) for item in found] == [f"{root}/1/a"[1:], f"{root}/2/b"[1:]]
    moved = read(tmp_path / "m", type="fairseq", valid=["valid.tsv"], audio_root="../audio")
    assert [(item.key, str(item.path)) for item in moved] == [("1__a", "1/a.flac"), ("2__b", "2/b.flac")]


@pytest.mark.parametrize("texts", ["HELLO\n", "HELLO\nYOU\nMORE\n"])
def test_texts_of_fairseq_that_do_not_fit_are_refused(tmp_path: Path, texts: str) -> None:
    touch(tmp_path, "a.flac", "b.flac")
    write(tmp_path, "train.tsv", ".\na.flac\t1\nb.flac\t1\n")
    write(tmp_path, "train.wrd", texts)
    with pytest.raises(BadDataError, match=r"LAYOUT: .*stands alone: train\.tsv and train\.wrd have different numbers"):
        read(tmp_path, type="fairseq")


def write_table(path: Path, names: list[str], cells: list[list[object]]) -> None:
    """The same rows in the format that the ending says."""
    if path.suffix == ".parquet":
        columns = [list(column) for column in zip(*cells, strict=True)]
        pq.write_table(pa.table(dict(zip(names, columns, strict=True))), path)
    elif path.suffix == ".jsonl":
        path.write_text(lines(*(dict(zip(names, row, strict=True)) for row in cells)))
    else:
        separator = "\t" if path.suffix == ".tsv" else ","
        text = [separator.join("" if cell is None else str(cell) for cell in row) for row in (names, *cells)]
        path.write_text("\n".join(text) + "\n")


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet", "t.jsonl"])
def test_a_table_says_what_its_columns_say(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "long.wav", "b.flac", "c.flac")
    names = ["file", "utt", "from", "to", "ch", "who", "lang", "text", "set"]
    write_table(
        tmp_path / name,
        names,
        [
            ["long.wav", "u1", 0.5, 1.5, 2, "ann", "en", "hi", "train"],
            ["long.wav", "u2", 2.0, None, 1, "bob", "en", "ho", "dev"],
            ["b.flac", "u3", None, None, None, None, None, None, "test"],
        ],
    )
    found = read(
        tmp_path,
        type="table",
        manifests=[name],
        path_column="file",
        id_column="utt",
        start_column="from",
        end_column="to",
        channel_column="ch",
        speaker_column="who",
        language_column="lang",
        text_column="text",
        split_column="set",
    )
    assert rows(found) == [
        ("u3", "b.flac", None, None, None),
        ("u1", "long.wav", 0.5, 1.5, 2),
        ("u2", "long.wav", 2.0, None, 1),
    ]
    assert {item.key: item.split for item in found} == {"u1": "train", "u2": "valid", "u3": "test"}
    assert words(found)["u1"] == ("ann", "en", "hi")
    assert words(found)["u3"][:2] == ("unknown", None)
    assert found.files.count("unlisted") == 1
    (account,) = found.tables
    assert (account.rows, account.by_path) == (3, 3)


def test_a_csv_may_have_quotes_line_breaks_and_semicolons(tmp_path: Path) -> None:
    touch(tmp_path, "a,b.wav", "c.wav")
    write(tmp_path, "t.csv", '\ufefffile,text\r\n"a,b.wav","he said ""no"",\r\nand left"\r\nc.wav,x\r\n')
    found = read(tmp_path, manifests=["t.csv"], **TABLE)
    assert [item.text for item in found] == ['he said "no",\nand left', "x"]
    write(tmp_path, "t.csv", 'file;text\n"a,b.wav";x\nc.wav;"1,5; 2"\n')
    assert [item.text for item in read(tmp_path, manifests=["t.csv"], **TABLE)] == ["x", "1,5; 2"]


def test_a_duration_counts_from_the_start(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    write(tmp_path, "t.csv", "file,s,d\na.wav,1.5,2\na.wav,4,\n")
    fields = {"type": "table", "path_column": "file", "start_column": "s", "duration_column": "d"}
    assert [row[2:4] for row in rows(read(tmp_path, manifests=["t.csv"], **fields))] == [(1.5, 3.5), (4.0, None)]
    for wrong in ({"end_column": "e"}, {"start_column": ""}):
        with pytest.raises(ValidationError, match="duration_column"):
            layout_of(manifests=["t.csv"], **{**fields, **wrong})


def test_what_is_missing_is_known_at_the_first_look(tmp_path: Path) -> None:
    write(tmp_path, "t.csv", "file,text\n" + "x" * 100_000)
    check_layout(layout_of(manifests=["t.csv"], **TABLE), tmp_path)
    wrong = {
        "no file nope.csv": {"manifests": ["nope.csv"], **TABLE},
        "no file v.csv": {"manifests": ["t.csv"], "valid": ["v.csv"], **TABLE},
        "no column who, but file, text": {"manifests": ["t.csv"], "speaker_column": "who", **TABLE},
        "no file wav.scp": {"type": "kaldi"},
    }
    for message, fields in wrong.items():
        with pytest.raises(BadDataError, match=f"LAYOUT: {message}"):
            check_layout(layout_of(**fields), tmp_path)
