"""A corpus ends as a folder of audio and a manifest that says what is in it."""

import hashlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.bad_server import serving
from wavlm.corpus import build_corpus, read_manifest
from wavlm.errors import BadDataError, UsageError
from wavlm.layouts import Phone
from wavlm.progress import silent
from wavlm.recipe import read_corpus
from wavlm.specs import AptSource, CorpusSpec, FolderSource, GenericLayout, HttpsSource, Layout

ROOT = Path(__file__).parents[1]
SPEAKERS = ["ann", "bob", "cid", "dan"]
GENERIC = GenericLayout(type="generic", speaker="(?P<speaker>[a-z]+)/[^/]*$")


def tone(seconds: float, hz: float) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * hz * np.arange(round(16000 * seconds)) / 16000)


def grow(root: Path, speakers: Sequence[str] = SPEAKERS, clips: int = 5) -> Path:
    """A tree <speaker>/<n>.flac of clips of half a second, all different."""
    for who, speaker in enumerate(speakers):
        (root / speaker).mkdir(parents=True, exist_ok=True)
        for clip in range(clips):
            path = root / speaker / f"{clip}.flac"
            soundfile.write(path, tone(0.5, 200 + 50 * who + 3 * clip), 16000)
    return root


def spec(**fields: object) -> CorpusSpec:
    return CorpusSpec.model_validate(
        {
            "name": "tiny",
            "role": "speech",
            "description": "",
            "homepage": "https://example.org/",
            "license": "CC0-1.0",
            "citation": "nobody",
            "layout": GENERIC,
            **fields,
        }
    )


def of_folder(folder: Path, layout: Layout = GENERIC, **fields: object) -> CorpusSpec:
    source = FolderSource(type="folder", path=str(folder), revision="1")
    return spec(sources=(source,), layout=layout, **fields)


def tar_gz_of(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(folder, arcname="tiny")
    return buffer.getvalue()


def of_archive(blob: bytes, url: str, **fields: object) -> CorpusSpec:
    digest = hashlib.sha256(blob).hexdigest()
    source = HttpsSource(type="https", urls=(url,), sha256=digest, format="tar.gz")
    return spec(sources=(source,), **fields)


def contents(folder: Path) -> dict[str, bytes]:
    """Files by relative path, but for half-written ones, which the store sweeps out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".partial")
    }


def test_a_folder_becomes_a_manifest_with_what_headers_say(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=1)
    soundfile.write(folder / "ann/stereo.wav", np.zeros((800, 2)), 8000)
    (folder / "ann/prompt.g722").write_bytes(b"\xfa" * 4000)
    (folder / "ann/broken.flac").write_bytes(b"<html>")
    (folder / "ann/empty.g722").touch()
    out = tmp_path / "out"
    facts = build_corpus(of_folder(folder), tmp_path / "downloads", out, silent)
    rows = {row.key: row for row in read_manifest(out)}
    assert {key: (row.sample_rate_hz, row.num_samples) for key, row in rows.items()} == {
        "ann__0": (16000, 8000),
        "ann__broken": (-1, -1),
        "ann__empty": (16000, 0),
        "ann__prompt": (16000, 8000),
        "ann__stereo": (8000, 800),
    }
    assert rows["ann__0"].path == str(folder / "ann/0.flac")
    blob = (folder / "ann/prompt.g722").read_bytes()
    assert rows["ann__prompt"].sha256 == hashlib.sha256(blob).hexdigest()
    assert rows["ann__prompt"].size_bytes == 4000
    assert facts["utterances"] == 5
    assert facts["without_header"] == 1
    assert facts["hours"] == round((0.5 + 0.5 + 0.1) / 3600, 4)
    assert contents(out).keys() == {"manifest.parquet"}  # a folder is not copied


def test_texts_and_phones_arrive_in_the_manifest(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=2)
    (folder / "texts.tsv").write_text("utt_id\ttext\n0\tžluťoučký kůň\n")
    (folder / "phones.tsv").write_text("utt_id\tstart_s\tend_s\tphone\n1\t0.1\t0.2\tAH\n")
    layout = GENERIC.model_copy(update={"transcripts": "texts.tsv", "phones": "phones.tsv"})
    build_corpus(of_folder(folder, layout), tmp_path / "downloads", tmp_path / "out", silent)
    first, second = read_manifest(tmp_path / "out")
    assert (first.text, first.phones) == ("žluťoučký kůň", None)
    assert (second.text, second.phones) == (None, (Phone(0.1, 0.2, "AH"),))


def test_an_archive_is_fetched_unpacked_and_remembered(tmp_path: Path) -> None:
    blob = tar_gz_of(grow(tmp_path / "raw"))
    out = tmp_path / "out"
    with serving(blob) as server:
        wanted = of_archive(blob, server.url("good"))
        facts = build_corpus(wanted, tmp_path / "downloads", out, silent)
    rows = read_manifest(out)
    assert len(rows) == 20
    assert rows[0].path == "audio/tiny/ann/0.flac"
    assert all((out / row.path).is_file() for row in rows)
    (receipt,) = facts["archives"]  # type: ignore[misc] # a list, by the line below
    assert receipt["sha256"] == hashlib.sha256(blob).hexdigest()
    assert receipt["bytes"] == len(blob)
    assert receipt["files"] == 20


def test_the_second_run_is_offline_and_gives_the_same_bytes(tmp_path: Path) -> None:
    blob = tar_gz_of(grow(tmp_path / "raw"))
    with serving(blob) as server:
        wanted = of_archive(blob, server.url("good"), valid_fraction=0.25)
        first_facts = build_corpus(wanted, tmp_path / "downloads", tmp_path / "first", silent)
    first = contents(tmp_path / "first")
    assert build_corpus(wanted, tmp_path / "downloads", tmp_path / "first", silent) == first_facts
    assert build_corpus(wanted, tmp_path / "downloads", tmp_path / "second", silent) == first_facts
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
        facts = build_corpus(
            spec(sources=(source,)), tmp_path / "downloads", tmp_path / "out", silent
        )
    (receipt,) = facts["archives"]  # type: ignore[misc] # a list, by the line below
    assert receipt["pinned_by"] == "md5"
    assert receipt["sha256"] == hashlib.sha256(blob).hexdigest()


# --- splits ---


def test_no_speaker_is_in_both_splits(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw")
    facts = build_corpus(of_folder(folder, valid_fraction=0.3), tmp_path, tmp_path / "out", silent)
    rows = read_manifest(tmp_path / "out")
    held = {row.speaker for row in rows if row.split == "valid"}
    assert len(held) == 1
    assert held.isdisjoint(row.speaker for row in rows if row.split == "train")
    assert facts["split_rule"] == "speakers"
    assert facts["valid_utterances"] == 5


def test_a_share_smaller_than_any_speaker_still_holds_one_out(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw")
    build_corpus(of_folder(folder, valid_fraction=0.01), tmp_path, tmp_path / "out", silent)
    rows = read_manifest(tmp_path / "out")
    assert len({row.speaker for row in rows if row.split == "valid"}) == 1


def test_a_corpus_of_one_speaker_holds_out_whole_recordings_and_says_so(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=20)
    facts = build_corpus(of_folder(folder, valid_fraction=0.2), tmp_path, tmp_path / "out", silent)
    assert facts["split_rule"] == "recordings"
    assert facts["valid_utterances"] == 4
    metadata = pq.read_schema(tmp_path / "out/manifest.parquet").metadata
    assert metadata[b"split_rule"] == b"recordings"


def test_the_draw_depends_on_the_name_of_the_corpus_only(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=20)
    held = []
    for number, name in enumerate(["tiny", "tiny", "other"]):
        out = tmp_path / str(number)
        build_corpus(of_folder(folder, name=name, valid_fraction=0.2), tmp_path, out, silent)
        held.append({row.key for row in read_manifest(out) if row.split == "valid"})
    assert held[0] == held[1] != held[2]


def test_listed_speakers_are_held_out_and_unknown_ones_refused(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw")
    wanted = of_folder(folder, valid_speakers=("bob", "dan"))
    build_corpus(wanted, tmp_path, tmp_path / "out", silent)
    rows = read_manifest(tmp_path / "out")
    assert {row.speaker for row in rows if row.split == "valid"} == {"bob", "dan"}
    with pytest.raises(UsageError, match=r"SPEAKER.*eve.*ann, bob"):
        build_corpus(of_folder(folder, valid_speakers=("eve",)), tmp_path, tmp_path / "x", silent)


def test_the_same_audio_never_lies_in_both_splits(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw")
    (folder / "bob/copy.flac").write_bytes((folder / "ann/2.flac").read_bytes())
    wanted = of_folder(folder, valid_speakers=("bob",))
    facts = build_corpus(wanted, tmp_path, tmp_path / "out", silent)
    split_of = {row.key: row.split for row in read_manifest(tmp_path / "out")}
    assert split_of["bob__copy"] == "train"
    assert split_of["bob__2"] == "valid"
    assert facts["duplicate_contents"] == 1
    assert facts["moved_to_train"] == 1


# --- refusals ---


def test_two_files_with_one_key_are_an_error_that_names_both(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"])
    soundfile.write(folder / "ann/0.wav", tone(0.5, 300), 16000)
    with pytest.raises(BadDataError, match=r"DUP_KEY.*ann__0.*ann/0\.flac, ann/0\.wav"):
        build_corpus(of_folder(folder), tmp_path, tmp_path / "out", silent)


def test_a_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="CORPUS_EMPTY"):
        build_corpus(of_folder(tmp_path), tmp_path, tmp_path / "out", silent)


def test_sources_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    package = AptSource(
        type="apt", package="some-voice", version="1", sha256="0" * 64, size_bytes=1
    )
    folder = FolderSource(type="folder", path=str(tmp_path / "nowhere"), revision="1")
    for sources, fields, code in [
        ((folder,), {}, "FOLDER_MISSING"),
        ((folder, package), {}, "SOURCES"),
        ((package,), {"gated": True}, "GATED"),
    ]:
        with pytest.raises(UsageError, match=code):
            build_corpus(spec(sources=sources, **fields), tmp_path, tmp_path / "out", silent)


def test_a_manifest_that_was_edited_or_damaged_is_not_read(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"])
    build_corpus(of_folder(folder), tmp_path, tmp_path / "out", silent)
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


# --- interruptions ---

# Forks a child for each n, which dies at its n-th event on files; then the stage runs again in the
# same folders. Ends when a child survives: every event was a point of death once.
KILLER = """
import os, signal, sys
from pathlib import Path

from tests.test_corpus import contents
from wavlm.corpus import build_corpus
from wavlm.progress import silent
from wavlm.specs import CorpusSpec

spec, work = CorpusSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2])
WATCHED = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod"}


def build(folder):
    build_corpus(spec, folder / "downloads", folder / "out", silent)


def in_child(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def dying_at(number, folder):
    def work():
        seen = 0

        def count():
            nonlocal seen
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

        def hook(event, arguments):
            writes = event != "open" or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
            if event in WATCHED and writes:
                count()

        os.fsync = lambda handle: count()
        os.sync = count
        sys.addaudithook(hook)
        build(folder)

    return work


os.fsync = lambda handle: None  # a killed process loses nothing that it wrote
os.sync = lambda: None
build(work / "reference")
reference = contents(work / "reference/out")
number = 1
while in_child(dying_at(number, work / str(number))):
    assert in_child(lambda: build(work / str(number))) == 0, number
    assert contents(work / str(number) / "out") == reference, f"after death at event {number}"
    number += 1
print(number - 1)
"""


@pytest.mark.slow
def test_killed_at_any_point_and_run_again_it_gives_the_same_bytes(tmp_path: Path) -> None:
    blob = tar_gz_of(grow(tmp_path / "raw", ["ann", "bob"], clips=1))
    with serving(blob) as server:
        wanted = of_archive(blob, server.url("good"), valid_fraction=0.3)
        done = subprocess.run(
            [sys.executable, "-c", KILLER, wanted.model_dump_json(), tmp_path / "work"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20  # points of death


# --- what is shipped ---


def shipped() -> list[str]:
    return sorted(path.stem for path in (ROOT / "data_specs/corpora").glob("*.yaml"))


@pytest.mark.parametrize("name", shipped())
def test_shipped_corpora_are_named_as_their_files_and_say_whose_they_are(name: str) -> None:
    corpus = read_corpus(ROOT / f"data_specs/corpora/{name}.yaml")
    assert corpus.name == name
    assert all([corpus.description, corpus.homepage, corpus.license, corpus.citation])
    for source in corpus.sources:
        if isinstance(source, HttpsSource | AptSource):
            assert all(url.startswith("https://") for url in source.urls)


def test_the_demo_downloads_less_than_260_megabytes() -> None:
    names = ["festvox-ru", "etw-crowds", "moh-opsound"]
    names += [f"asterisk-{language}" for language in ("en", "es", "fr", "it", "ru")]
    sizes = [
        source.size_bytes
        for name in names
        for source in read_corpus(ROOT / f"data_specs/corpora/{name}.yaml").sources
        if isinstance(source, AptSource)
    ]
    assert len(sizes) == 8
    assert sum(sizes) < 260e6
