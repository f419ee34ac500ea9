"""People reported: a corpus stage was killed, files were lost or damaged, and it went on without a word.

The receipt of an archive was believed, whatever had become of its files: recordings that were gone left the corpus,
and the manifest took the digest of damaged ones as theirs. Now each file is compared with what the archive held.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.corpus.corpora import contents, grow, of_archive, spec, tar_gz_of
from tests.corpus.download.bad_server import serving
from wavlm.corpus import archives
from wavlm.corpus.build import build_corpus
from wavlm.corpus.facts import CorpusFacts
from wavlm.corpus.manifest import read_manifest
from wavlm.errors import BadDataError
from wavlm.execution.progress import no_progress
from wavlm.pipeline.artifacts import Corpus
from wavlm.pipeline.store import Store
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake
from wavlm.specs import CorpusSpec, HttpsSource, ShardSpec

VICTIM = "audio/tiny/ann/1.flac"


def flip(path: Path) -> None:
    blob = bytearray(path.read_bytes())
    blob[len(blob) // 2] ^= 0x40
    path.write_bytes(blob)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def replace_by_a_link(path: Path) -> None:
    path.rename(path.parents[3] / "moved.flac")
    path.symlink_to(path.parents[3] / "moved.flac")


def change_the_receipt(path: Path) -> None:
    (receipt,) = (path.parents[3] / "archives").glob("*.json")
    fields = json.loads(receipt.read_text())
    receipt.write_text(json.dumps({**fields, "skipped_links": 7}))


def change_the_note(path: Path) -> None:
    (note,) = (path.parents[3] / "archives").glob(".*.sha256")
    path.unlink()
    text = note.read_text()
    assert "tiny/ann/1.flac" in text
    note.write_text(text.replace("tiny/ann/1.flac", "tiny/ann/2.flac"))


def remove_the_note(path: Path) -> None:
    """As an attempt of an earlier version left it."""
    for note in (path.parents[3] / "archives").glob(".*.sha256"):
        note.unlink()
    flip(path)


class Site:
    """A corpus of one archive whose first attempt was killed before it wrote the manifest."""

    def __init__(self, root: Path, blob: bytes, url: str) -> None:
        self.downloads, self.out = root / "downloads", root / "out"
        self.wanted = of_archive(blob, url)

    def build(self) -> CorpusFacts:
        return build_corpus(self.wanted, self.downloads, self.out, no_progress)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    blob = tar_gz_of(grow(tmp_path / "raw", ["ann", "bob"], clips=3))
    with serving(blob) as server:
        site = Site(tmp_path, blob, server.url("good"))
        site.build()
    return site


@pytest.mark.parametrize(
    "harm",
    [Path.unlink, flip, cut, change_the_receipt, change_the_note, remove_the_note],
    ids=lambda harm: harm.__name__,
)
def test_what_was_lost_or_damaged_in_between_is_unpacked_again(site: Site, harm: Callable[[Path], None]) -> None:
    first, facts = contents(site.out), site.build()
    (site.out / "manifest.parquet").unlink()
    before = contents(site.out, with_notes=True)
    harm(site.out / VICTIM)
    assert contents(site.out, with_notes=True) != before
    assert site.build() == facts
    assert facts.utterances == 6
    assert contents(site.out) == first


def test_a_file_that_became_a_link_is_refused(site: Site) -> None:
    replace_by_a_link(site.out / VICTIM)
    with pytest.raises(BadDataError, match=r"PATH_ESCAPE: .*tiny/ann/1\.flac"):
        site.build()


def test_nothing_is_unpacked_again_without_need(site: Site) -> None:
    before = {path: path.stat().st_ino for path in (site.out / "audio").rglob("*.flac")}
    for archive in site.downloads.iterdir():
        archive.unlink()  # there is no server any more, either
    site.build()
    assert {path: path.stat().st_ino for path in (site.out / "audio").rglob("*.flac")} == before


def test_a_recording_that_no_archive_has_is_named(site: Site) -> None:
    stray = site.out / "audio/tiny/eve/0.flac"
    stray.parent.mkdir()
    stray.write_bytes((site.out / VICTIM).read_bytes())
    with pytest.raises(BadDataError, match=r"FILE_STRAY: found tiny/eve/0\.flac"):
        site.build()


def test_a_disk_that_gives_back_other_bytes_is_no_source_of_digests(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = contents(site.out)
    (site.out / VICTIM).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(archives, "sync_disk", lambda _: flip(site.out / VICTIM))  # called behind unpacking
        site.build()
    (row,) = (row for row in read_manifest(site.out) if row.path == VICTIM)
    assert row.sha256 == hashlib.sha256(first[VICTIM]).hexdigest()  # as it was in the archive
    shards = ShardSpec(min_seconds=0.1, max_seconds=1)
    with pytest.raises(BadDataError, match=r"FILE_CHANGED: .*ann/1\.flac; make the corpus again"):
        build_shards(shards, site.out, site.out.with_name("shards"), 1, no_progress, Intake(stall_seconds=0))
    site.build()
    assert contents(site.out) == first


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, blob in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(blob)
            tar.addfile(info, io.BytesIO(blob))
    return buffer.getvalue()


def two_archives(raw: Path, downloads: Path) -> CorpusSpec:
    """Two archives with another file each under `ann/0.flac`, downloaded already."""
    clips = [path.read_bytes() for path in sorted(grow(raw, ["ann"], clips=4).rglob("*.flac"))]
    blobs = [
        tar_of({"ann/0.flac": clips[0], "ann/1.flac": clips[1]}),
        tar_of({"ann/0.flac": clips[2], "ann/3.flac": clips[3]}),
    ]
    downloads.mkdir()
    sources = []
    for blob in blobs:
        digest = hashlib.sha256(blob).hexdigest()
        url = f"https://example.org/{digest}.tar"
        source = HttpsSource(type="https", urls=(url,), sha256=digest, format="tar")
        (downloads / source.file_name).write_bytes(blob)
        sources.append(source)
    return spec(sources=tuple(sources))


@pytest.mark.parametrize("harmed", [(), ("0",), ("1",), ("3",), ("0", "1", "3")])
def test_of_two_archives_the_later_one_still_counts(tmp_path: Path, harmed: tuple[str, ...]) -> None:
    wanted = two_archives(tmp_path / "raw", tmp_path / "downloads")
    later = (tmp_path / "raw/ann/2.flac").read_bytes()
    for attempt in range(2):
        build_corpus(wanted, tmp_path / "downloads", tmp_path / "out", no_progress)
        assert (tmp_path / "out/audio/ann/0.flac").read_bytes() == later, attempt
        rows = {row.key: row.sha256 for row in read_manifest(tmp_path / "out")}
        assert rows["ann__0"] == hashlib.sha256(later).hexdigest()
        assert rows.keys() == {"ann__0", "ann__1", "ann__3"}
        if not harmed:  # then neither archive is needed again
            for archive in (tmp_path / "downloads").glob("*.tar"):
                archive.unlink()
        for name in harmed:
            flip(tmp_path / f"out/audio/ann/{name}.flac")


def test_the_note_is_not_sealed(site: Site) -> None:
    store = Store(site.out.parent)
    folder = store.make(Corpus(site.wanted), lambda out: build_corpus(site.wanted, store.downloads, out, no_progress))
    assert [path.suffix for path in (folder / "archives").iterdir()] == [".json"]
    assert contents(folder / "audio") == contents(site.out / "audio")
