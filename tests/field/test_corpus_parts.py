"""The corpus stage works in parts: what an interrupted attempt has looked at is kept, and parts change no byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from tests.corpus.corpora import contents, grow, of_archive, of_folder, tar_gz_of, tone
from wavlm.corpus import archives, measure
from wavlm.corpus.build import build_corpus, share_corpus
from wavlm.execution.parts import use_executor
from wavlm.execution.progress import no_progress
from wavlm.execution.share import Share, ShareMade
from wavlm.specs import CorpusSpec

PER_PART = 3


class Site:
    """A folder of 4 speakers with 5 recordings each, and the files whose headers are read."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("wavlm.corpus.listing.FILES_PER_PART", PER_PART)
        self.root, self.folder = root, grow(root / "raw")
        self.looked: list[str] = []
        self._probe = measure._probe
        self.fails_at = 0  # the look that fails; 0: none
        monkeypatch.setattr(measure, "_probe", self._look)

    def _look(self, path: Path, fences: object) -> tuple[int, int]:
        if len(self.looked) + 1 == self.fails_at:
            raise KeyboardInterrupt
        self.looked.append(path.name)
        return self._probe(path, fences)

    def build(self, name: str = "out", workers: int = 1, spec: CorpusSpec | None = None) -> dict[str, bytes]:
        spec = spec or of_folder(self.folder, valid_fraction=0.25)
        build_corpus(spec, self.root / "downloads", self.root / name, no_progress, workers=workers)
        return contents(self.root / name)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_how_the_files_are_cut_into_parts_changes_no_byte(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = site.build()
    assert set(parts) == {"manifest.parquet", "history.parquet", "files.parquet"}
    monkeypatch.setattr("wavlm.corpus.listing.FILES_PER_PART", 10_000)
    assert site.build("whole") == parts


@pytest.mark.slow
def test_two_processes_change_no_byte(site: Site) -> None:
    assert site.build() == site.build("both", workers=2)


def test_what_was_looked_at_before_an_interrupt_is_not_looked_at_again(site: Site) -> None:
    site.fails_at = 11
    with pytest.raises(KeyboardInterrupt):
        site.build()
    assert not (site.root / "out/manifest.parquet").exists()
    site.fails_at, site.looked = 0, []
    found = site.build()
    assert len(site.looked) == 20 - 3 * PER_PART  # three parts were whole
    assert site.build("other") == found


def flip(path: Path) -> None:
    blob = bytearray(path.read_bytes())
    blob[len(blob) // 2] ^= 1
    path.write_bytes(blob)


@pytest.mark.parametrize("harm", [flip, Path.unlink, lambda path: path.write_bytes(b"")], ids=["flip", "lose", "empty"])
def test_a_part_that_was_damaged_in_between_is_made_again(site: Site, harm: Callable[[Path], object]) -> None:
    site.fails_at = 11
    with pytest.raises(KeyboardInterrupt):
        site.build()
    harm(site.root / "out" / measure.PARTS / "000001.parquet")
    site.fails_at, site.looked = 0, []
    found = site.build()
    assert len(site.looked) == 20 - 2 * PER_PART
    assert site.build("other") == found


def test_a_file_that_is_another_one_by_then_is_looked_at_again(site: Site) -> None:
    site.fails_at = 11
    with pytest.raises(KeyboardInterrupt):
        site.build()
    soundfile.write(site.folder / "ann/1.flac", tone(0.75, 900), 16000)
    site.fails_at, site.looked = 0, []
    found = site.build()
    assert len(site.looked) == 20 - 2 * PER_PART
    assert site.build("other") == found


def test_regions_of_one_file_are_in_one_part(site: Site) -> None:
    (site.folder / "wav.scp").write_text("".join(f"r{n} ann/{n}.flac\n" for n in range(5)))
    spans = [(n, at) for n in range(5) for at in range(4)]
    (site.folder / "segments").write_text("".join(f"u{n}-{at} r{n} {at / 10} {(at + 1) / 10}\n" for n, at in spans))
    site.build(spec=of_folder(site.folder, {"type": "kaldi"}, valid_fraction=0.3))
    assert sorted(site.looked) == [f"{number}.flac" for number in range(5)]


def test_shares_of_an_archive_that_one_of_them_unpacks_change_no_byte(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = tar_gz_of(site.folder)
    spec = of_archive(blob, "https://example.org/voices.tar.gz", valid_fraction=0.25)
    downloads, out, unpacked = site.root / "downloads", site.root / "out", []
    downloads.mkdir()
    (downloads / f"{hashlib.sha256(blob).hexdigest()}.tar.gz").write_bytes(blob)
    unpack = archives.unpack
    monkeypatch.setattr(archives, "unpack", lambda path, *rest: (unpacked.append(path), unpack(path, *rest))[1])
    for rank in (2, 0):  # that of rank 1 was never started
        with use_executor(Share(rank, 3)), pytest.raises(ShareMade):
            share_corpus(spec, downloads, out, no_progress, lock=site.root / "gather.lock")
    assert len(unpacked) == 1
    there = sorted(int(path.stem) for path in (out / measure.PARTS).glob("[!.]*.parquet"))
    assert there == [0, 2, 3, 5, 6]  # of 20 files in parts of 3
    found = site.build(spec=spec)
    assert len(unpacked) == 1
    assert site.build("other", spec=spec) == found
    assert not [path.name for path in out.iterdir() if path.name.endswith(".partial")]
