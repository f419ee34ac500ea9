"""Containers that their own tools wrote: folders of Hugging Face `datasets`, and tars of webdataset."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.corpus.corpora import of_folder
from tests.corpus.layouts.trees import layout_of
from wavlm.corpus.build import build_corpus
from wavlm.corpus.contents import audio_root
from wavlm.corpus.facts import CorpusFacts
from wavlm.corpus.manifest import ManifestRow, read_manifest
from wavlm.errors import BadDataError, UsageError
from wavlm.execution.progress import no_progress
from wavlm.specs import CorpusSpec

pytest.importorskip("datasets")
from datasets import Audio, Dataset, DatasetDict
from webdataset import TarWriter

RATE_HZ = 16000


def encode(seed: int, kind: str = "FLAC") -> bytes:
    """A quarter of a second, which the seed decides."""
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(seed).uniform(-0.1, 0.1, 4000), RATE_HZ, format=kind)
    return file.getvalue()


def make_dataset(first: int, count: int, **columns: list[object]) -> Dataset:
    """A data set with audio as `datasets` stores it. No decoder is needed for this."""
    audio = [{"bytes": encode(first + item), "path": f"clip{first + item}.flac"} for item in range(count)]
    return Dataset.from_dict({"audio": audio, **columns}).cast_column("audio", Audio(RATE_HZ))


def build(
    folder: Path, out: Path, fields: dict[str, object], **spec: object
) -> tuple[CorpusFacts, list[ManifestRow], CorpusSpec]:
    corpus = of_folder(folder, layout_of(**fields), **spec)
    facts = build_corpus(corpus, out / "downloads", out / "corpus", no_progress, None, 0)
    return facts, read_manifest(out / "corpus"), corpus


def test_what_save_to_disk_writes_is_read_with_its_splits(tmp_path: Path) -> None:
    words = {"text": ["a", "b", "c"], "speaker_id": [7, 7, 8]}
    made = DatasetDict(
        train=make_dataset(0, 3, **words),
        validation=make_dataset(10, 1, text=["d"], speaker_id=[9]),
        test=make_dataset(20, 1, text=["e"], speaker_id=[9]),
    )
    made.save_to_disk(tmp_path / "set")
    made["train"].map(lambda row: row, new_fingerprint="f")  # leaves no file here
    fields = {"type": "huggingface", "text_column": "text", "speaker_column": "speaker_id"}
    facts, rows, spec = build(tmp_path / "set", tmp_path / "made", fields)
    assert [(row.key, row.split, row.speaker, row.text) for row in rows] == [
        ("train__data-00000-of-00001__00000001", "train", "7", "a"),
        ("train__data-00000-of-00001__00000002", "train", "7", "b"),
        ("train__data-00000-of-00001__00000003", "train", "8", "c"),
        ("validation__data-00000-of-00001__00000001", "valid", "9", "d"),
    ]
    assert facts.excluded.keys() == {"TEST_SPLIT"}
    assert facts.split_rule == "layout"
    root = audio_root(spec, tmp_path / "made/corpus")
    assert [(root / row.path).read_bytes() for row in rows] == [encode(seed) for seed in (0, 1, 2, 10)]
    assert facts.files is not None
    assert (facts.files.count("container"), facts.files.used) == (3, 5)
    assert facts.files.found == facts.files.used + sum(item.files for item in facts.files.left_out)
    assert [archive.name for archive in facts.archives] == sorted(
        f"{split}/data-00000-of-00001.arrow" for split in ("train", "validation", "test")
    )


def test_parquet_of_several_configurations_is_read_by_glob(tmp_path: Path) -> None:
    for number, language in enumerate(("de", "fr")):
        folder = tmp_path / "set" / language
        folder.mkdir(parents=True)
        rows = make_dataset(
            100 * number, 40, locale=[language] * 40, client_id=[f"{language}{n % 4}" for n in range(40)]
        )
        rows.to_parquet(folder / "train-00000-of-00001.parquet", batch_size=7)
    fields = {"type": "huggingface", "speaker_column": "client_id", "language_column": "locale"}
    facts, rows, _ = build(tmp_path / "set", tmp_path / "all", fields)
    assert (len(rows), facts.speakers) == (80, 8)
    assert {row.language for row in rows} == {"de", "fr"}
    facts, rows, _ = build(tmp_path / "set", tmp_path / "de", {**fields, "data": ["de/*.parquet"]})
    assert [row.path for row in rows] == [f"audio/de/train-00000-of-00001.parquet/{n:08d}.flac" for n in range(1, 41)]
    assert facts.files is not None
    assert facts.files.count("other") == 1 + 1  # the other Parquet file, and the rows of this one


def test_rows_without_audio_are_counted(tmp_path: Path) -> None:
    audio = [{"bytes": encode(1), "path": "a.flac"}, {"bytes": None, "path": "/nowhere/b.flac"}, None]
    (tmp_path / "set").mkdir()
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    pq.write_table(pa.table({"audio": pa.array(audio, kind)}), tmp_path / "set/a.parquet")
    with pytest.raises(BadDataError, match=r"TABLE_JOIN: 2 of 3 rows .* not there.*: row 2.*a\.parquet; embed"):
        build(tmp_path / "set", tmp_path / "made", {"type": "huggingface"})
    facts, rows, _ = build(tmp_path / "set", tmp_path / "made", {"type": "huggingface", "max_left_over_rows": 0.7})
    assert len(rows) == 1
    assert (facts.tables[0].rows, facts.tables[0].left_over) == (3, 2)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"PAR1 rubbish", r"LAYOUT: cannot be read: .*a\.parquet; make the file again"),
        ("a.arrow", b"rubbish" * 100, r"LAYOUT: cannot be read: .*a\.arrow; make the file again"),
        ("b.parquet", {"audio": [[0.1, 0.2]]}, r"LAYOUT: the column audio holds list.*audio_column"),
        ("c.parquet", {"sound": ["x"]}, r"LAYOUT: no column audio, but sound"),
        ("d.txt", b"", r"LAYOUT: no file \*\*/\*\.parquet"),
    ],
)
def test_files_that_hold_no_audio_are_named(tmp_path: Path, name: str, content: object, message: str) -> None:
    (tmp_path / "set").mkdir()
    if isinstance(content, bytes):
        (tmp_path / "set" / name).write_bytes(content)
    else:
        pq.write_table(pa.table(content), tmp_path / "set" / name)
    with pytest.raises(BadDataError, match=message):
        build(tmp_path / "set", tmp_path / "made", {"type": "huggingface"})


def test_a_stream_that_is_cut_is_named(tmp_path: Path) -> None:
    make_dataset(0, 3).save_to_disk(tmp_path / "set")
    (path,) = (tmp_path / "set").glob("*.arrow")
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(BadDataError, match=r"LAYOUT: cannot be read: .*\.arrow; make the file again"):
        build(tmp_path / "set", tmp_path / "made", {"type": "huggingface"})


def write_tar(path: Path, samples: dict[str, dict[str, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with TarWriter(str(path)) as sink:
        for key, members in samples.items():
            sink.write({"__key__": key, **members})


def test_samples_of_webdataset_have_what_stands_beside_them(tmp_path: Path) -> None:
    said = json.dumps({"text": "HI", "speaker_id": "ann", "lang": "en"}).encode()
    write_tar(
        tmp_path / "set/train-000000.tar",
        {
            "a/one": {"flac": encode(1), "json": said},
            "a/two.mic": {"wav": encode(2, "WAV"), "txt": b"YO\n"},  # the key ends at the first dot
            "only-text": {"txt": b"x"},
            "mics": {"1.flac": encode(3), "2.flac": encode(4), "txt": b"BOTH"},
        },
    )
    write_tar(tmp_path / "set/dev-000000.tar", {"a/one": {"flac": encode(5)}})
    fields = {
        "type": "webdataset",
        "tars": ["train-*.tar"],
        "valid": ["dev-*.tar"],
        "speaker_field": "speaker_id",
        "language_field": "lang",
    }
    facts, rows, spec = build(tmp_path / "set", tmp_path / "made", fields)
    assert [(row.key, row.speaker, row.language, row.text, row.split) for row in rows] == [
        ("dev-000000__a__one", "unknown", None, None, "valid"),
        ("train-000000__a__one", "ann", "en", "HI", "train"),
        ("train-000000__a__two", "unknown", None, "YO", "train"),
        ("train-000000__mics__1_x2eflac", "unknown", None, "BOTH", "train"),
        ("train-000000__mics__2_x2eflac", "unknown", None, "BOTH", "train"),
    ]
    root = audio_root(spec, tmp_path / "made/corpus")
    assert [(root / row.path).read_bytes() for row in rows] == [
        encode(5), encode(1), encode(2, "WAV"), encode(3), encode(4)
    ]  # fmt: skip
    assert facts.files is not None
    assert (facts.files.used, facts.files.count("container")) == (5, 2)


def test_an_attempt_that_goes_on_unpacks_only_what_is_not_whole(tmp_path: Path) -> None:
    for number in range(3):
        write_tar(tmp_path / f"set/{number}.tar", {f"k{n}": {"flac": encode(10 * number + n)} for n in range(2)})
    _, first, _ = build(tmp_path / "set", tmp_path / "made", {"type": "webdataset"})
    kept, hurt = tmp_path / "made/corpus/audio/0.tar/k0.flac", tmp_path / "made/corpus/audio/1.tar/k0.flac"
    before = kept.stat().st_ino
    hurt.write_bytes(b"x" * hurt.stat().st_size)
    (tmp_path / "made/corpus/audio/2.tar/k1.flac").unlink()
    _, again, _ = build(tmp_path / "set", tmp_path / "made", {"type": "webdataset"})
    assert again == first
    assert kept.stat().st_ino == before
    (tmp_path / "made/corpus/audio/stray.flac").write_bytes(encode(99))
    with pytest.raises(BadDataError, match=r"FILE_STRAY: found stray\.flac"):
        build(tmp_path / "set", tmp_path / "made", {"type": "webdataset"})


def test_audio_beside_the_containers_is_not_lost_in_silence(tmp_path: Path) -> None:
    write_tar(tmp_path / "set/0.tar", {"k": {"flac": encode(1)}})
    (tmp_path / "set/loose.flac").write_bytes(encode(2))
    with pytest.raises(BadDataError, match=r"FILES_LEFT_OUT: 1 of 2 audio files .*not-matched \(loose\.flac\)"):
        build(tmp_path / "set", tmp_path / "made", {"type": "webdataset"})


def test_two_tars_of_the_same_bytes_are_two(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tar(tmp_path / f"set/{name}.tar", {"k": {"flac": encode(1)}})
        (tmp_path / f"set/{name}.tar").write_bytes((tmp_path / "set/a.tar").read_bytes())
    _, rows, _ = build(tmp_path / "set", tmp_path / "made", {"type": "webdataset"})
    assert [row.key for row in rows] == ["a__k", "b__k"]


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("../x.flac", "PATH_ESCAPE"),
        ("/x.flac", "PATH_ESCAPE"),
        ("k.flac", r"TAR_MEMBER_TYPE"),
    ],
)
def test_a_hostile_tar_writes_nothing_outside(tmp_path: Path, member: str, message: str) -> None:
    (tmp_path / "set").mkdir()
    with tarfile.open(tmp_path / "set/0.tar", "w") as tar:
        info = tarfile.TarInfo(member)
        if "TYPE" in message:
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info, io.BytesIO())
    with pytest.raises(BadDataError, match=message):
        build(tmp_path / "set", tmp_path / "made", {"type": "webdataset"})
    assert not list((tmp_path / "made").rglob("x.flac"))


def test_bad_json_of_a_sample_is_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "set/0.tar", {"k": {"flac": encode(1), "json": b"{no"}})
    with pytest.raises(BadDataError, match=r"LAYOUT: no JSON .*0\.tar/k\.json"):
        build(tmp_path / "set", tmp_path / "made", {"type": "webdataset"})


def test_containers_need_a_folder() -> None:
    from tests.corpus.corpora import of_archive
    from wavlm.corpus.sources import refuse_sources

    for fields in ({"type": "webdataset"}, {"type": "huggingface"}, {"type": "kaldi", "audio_root": "x"}):
        spec = of_archive(b"", "https://example.org/x.tar.gz", layout=layout_of(**fields))
        with pytest.raises(UsageError, match="SOURCES: tiny comes from archives, but"):
            refuse_sources(spec)
