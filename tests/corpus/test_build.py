"""The corpus stage writes audio and a manifest of its recordings."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.corpus.corpora import (
    GENERIC,
    contents,
    grow,
    of_archive,
    of_folder,
    spec,
    tar_gz_of,
    tone,
)
from tests.corpus.download.bad_server import serving
from wavlm.corpus.build import build_corpus
from wavlm.corpus.layouts import Phone
from wavlm.corpus.manifest import read_manifest
from wavlm.errors import BadDataError, UsageError
from wavlm.execution.progress import no_progress
from wavlm.specs import AptSource, FolderSource, HttpsSource
from wavlm.specs.layouts import LibrispeechLayout


def test_a_folder_becomes_a_manifest_with_the_length_of_each_recording(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=1)
    soundfile.write(folder / "ann/stereo.wav", 0.1 * np.ones((800, 2)) * np.linspace(-1, 1, 800)[:, None], 8000)
    (folder / "ann/prompt.g722").write_bytes(b"\xfa" * 4000)
    (folder / "ann/broken.flac").write_bytes(b"<html>")
    (folder / "ann/empty.g722").touch()
    out = tmp_path / "out"
    facts = build_corpus(of_folder(folder), tmp_path / "downloads", out, no_progress)
    rows = {row.key: row for row in read_manifest(out)}
    assert {key: (row.sample_rate_hz, row.num_samples) for key, row in rows.items()} == {
        "ann__0": (16000, 8000),
        "ann__broken": (-1, -1),
        "ann__empty": (-1, -1),
        "ann__prompt": (16000, 8000),
        "ann__stereo": (8000, 800),
    }
    assert rows["ann__0"].path == "ann/0.flac"
    blob = (folder / "ann/prompt.g722").read_bytes()
    assert rows["ann__prompt"].sha256 == hashlib.sha256(blob).hexdigest()
    assert rows["ann__prompt"].size_bytes == 4000
    assert facts.utterances == 5
    assert facts.without_header == 2
    assert facts.hours == round((0.5 + 0.5 + 0.1) / 3600, 6)
    assert contents(out).keys() == {"manifest.parquet", "history.parquet", "files.parquet"}  # a folder is not copied


def test_texts_and_phones_arrive_in_the_manifest(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=2)
    (folder / "texts.tsv").write_text("utt_id\ttext\n0\tžluťoučký kůň\n")
    (folder / "phones.tsv").write_text("utt_id\tstart_s\tend_s\tphone\n1\t0.1\t0.2\tAH\n")
    layout = GENERIC.model_copy(update={"transcripts": "texts.tsv", "phones": "phones.tsv"})
    build_corpus(of_folder(folder, layout), tmp_path / "downloads", tmp_path / "out", no_progress)
    first, second = read_manifest(tmp_path / "out")
    assert (first.text, first.phones) == ("žluťoučký kůň", None)
    assert (second.text, second.phones) == (None, (Phone(0.1, 0.2, "AH"),))


def test_an_archive_is_fetched_unpacked_and_remembered(tmp_path: Path) -> None:
    blob = tar_gz_of(grow(tmp_path / "raw"))
    out = tmp_path / "out"
    with serving(blob) as server:
        wanted = of_archive(blob, server.url("good"))
        facts = build_corpus(wanted, tmp_path / "downloads", out, no_progress)
    rows = read_manifest(out)
    assert len(rows) == 20
    assert rows[0].path == "audio/tiny/ann/0.flac"
    assert all((out / row.path).is_file() for row in rows)
    (receipt,) = facts.archives
    assert receipt.sha256 == hashlib.sha256(blob).hexdigest()
    assert receipt.bytes == len(blob)
    assert receipt.files == 20


def test_the_second_run_is_offline_and_gives_the_same_bytes(tmp_path: Path) -> None:
    blob = tar_gz_of(grow(tmp_path / "raw"))
    with serving(blob) as server:
        wanted = of_archive(blob, server.url("good"), valid_fraction=0.25)
        first_facts = build_corpus(wanted, tmp_path / "downloads", tmp_path / "first", no_progress)
    first = contents(tmp_path / "first")
    assert build_corpus(wanted, tmp_path / "downloads", tmp_path / "first", no_progress) == first_facts
    assert build_corpus(wanted, tmp_path / "downloads", tmp_path / "second", no_progress) == first_facts
    assert contents(tmp_path / "first") == first
    assert contents(tmp_path / "second") == first


def test_a_corpus_pinned_by_md5_records_the_sha256_that_it_met(tmp_path: Path) -> None:
    blob = tar_gz_of(grow(tmp_path / "raw", ["ann"]))
    with serving(blob) as server:
        source = HttpsSource(
            type="https",
            urls=(server.url("good"),),
            md5=hashlib.md5(blob, usedforsecurity=False).hexdigest(),
            format="tar.gz",
        )
        facts = build_corpus(spec(sources=(source,)), tmp_path / "downloads", tmp_path / "out", no_progress)
    (receipt,) = facts.archives
    assert receipt.pinned_by == "md5"
    assert receipt.sha256 == hashlib.sha256(blob).hexdigest()


# --- refusals ---


def test_two_files_with_one_key_are_an_error_that_names_both(tmp_path: Path) -> None:
    for part in ("dev", "test"):
        (tmp_path / "raw" / part).mkdir(parents=True)
        soundfile.write(tmp_path / "raw" / part / "1-2-3.flac", tone(0.5, 300), 16000)
    layout = LibrispeechLayout(type="librispeech")
    with pytest.raises(BadDataError, match=r"DUP_KEY.*1-2-3: dev/1-2-3\.flac, test/1-2-3\.flac"):
        build_corpus(of_folder(tmp_path / "raw", layout), tmp_path, tmp_path / "out", no_progress)


def test_a_file_beside_one_of_another_suffix_does_not_stop_the_corpus(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=2)
    soundfile.write(folder / "ann/0.wav", tone(0.5, 300), 16000)
    build_corpus(of_folder(folder), tmp_path, tmp_path / "out", no_progress)
    rows = read_manifest(tmp_path / "out")
    assert {row.key: row.path for row in rows} == {
        "ann__0_x2eflac": "ann/0.flac",
        "ann__0_x2ewav": "ann/0.wav",
        "ann__1": "ann/1.flac",
    }


def test_a_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="CORPUS_EMPTY"):
        build_corpus(of_folder(tmp_path), tmp_path, tmp_path / "out", no_progress)


def test_sources_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    package = AptSource(type="apt", package="some-voice", version="1", sha256="0" * 64, size_bytes=1)
    folder = FolderSource(type="folder", path=str(tmp_path / "nowhere"))
    for sources, fields, code in [
        ((folder,), {}, "FOLDER_MISSING"),
        ((folder, package), {}, "SOURCES"),
        ((package,), {"gated": True}, "GATED"),
    ]:
        with pytest.raises(UsageError, match=code):
            build_corpus(spec(sources=sources, **fields), tmp_path, tmp_path / "out", no_progress)


def test_a_manifest_that_was_edited_or_damaged_is_not_read(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"])
    build_corpus(of_folder(folder), tmp_path, tmp_path / "out", no_progress)
    path = tmp_path / "out/manifest.parquet"
    good = path.read_bytes()
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    with pytest.raises(BadDataError, match="found 4 rows, expected 5"):
        read_manifest(tmp_path / "out")
    pq.write_table(table.drop_columns(["sha256"]), path)
    with pytest.raises(BadDataError, match="found columns"):
        read_manifest(tmp_path / "out")
    for position in range(10, len(good), 37):
        damaged = bytearray(good)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        try:
            rows = read_manifest(tmp_path / "out")
        except BadDataError:
            continue
        path.write_bytes(good)
        assert rows == read_manifest(tmp_path / "out"), position
