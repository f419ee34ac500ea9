"""People reported: 3 TB were read 8.4 times, written 3 times and kept 3 times on their way into shards.

Now an archive is read once for the corpus and once for its shards, and only shards are written. How it is kept changes
no byte of either.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.corpus.publishers.archive_server import ArchiveServer, serving_archives
from tests.corpus.publishers.fetching import from_server
from tests.corpus.publishers.packing import encode, tar, zipped
from tests.corpus.publishers.test_large import side_file
from wavlm.corpus.audio.file_bytes import Inside
from wavlm.corpus.audio.held import measure_flac
from wavlm.corpus.audio.stream import probe
from wavlm.corpus.build import build_corpus
from wavlm.corpus.inside import find_place
from wavlm.errors import BadDataError
from wavlm.execution.progress import no_progress
from wavlm.pipeline.artifacts import Corpus, Shards
from wavlm.pipeline.garbage.delete import delete_item
from wavlm.pipeline.garbage.find import find_garbage
from wavlm.pipeline.garbage.kept import Kept, KeptRecipe
from wavlm.pipeline.garbage.survey import What
from wavlm.pipeline.garbage.thinned import find_thinned
from wavlm.pipeline.store import Store
from wavlm.pipeline.verify import verify
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake
from wavlm.specs import ShardSpec
from wavlm.specs.yaml import read_recipe
from wavlm.storage.drops import read_dropped

CHAPTERS = 6
SHARDS = ShardSpec(min_seconds=0.5, max_seconds=10.0, shard_megabytes=0.1)
RECIPE = Path(__file__).parents[2] / "data_specs/recipes/mini-librispeech.yaml"


class Place:
    """A store with a corpus from one tar, and its shards."""

    def __init__(self, root: Path, server: ArchiveServer, keep: str | None, archive: str = "small.tar") -> None:
        source = server.source(archive, archive.partition(".")[2])
        spec = from_server("libri-light-small", [source], keep=keep, valid_fraction=0.2)
        self.store, self.corpus = Store(root), Corpus(spec)
        self.shards = Shards(SHARDS, self.corpus)

    def make(self) -> Place:
        self.make_corpus()
        intake = Intake(stall_seconds=0, archives=self.store.downloads)
        self.store.make(
            self.shards, lambda out: build_shards(SHARDS, self.store.path(self.corpus), out, 1, no_progress, intake)
        )
        return self

    def make_corpus(self) -> None:
        self.store.make(
            self.corpus,
            lambda out: build_corpus(self.corpus.spec, self.store.downloads, out, no_progress, None, 0),
        )

    def collect(self) -> list[What]:
        """Delete what house-keeping finds; what it was."""
        recipe = KeptRecipe(read_recipe(RECIPE), (self.corpus, self.shards), is_used=True)
        kept = Kept((recipe,), {self.corpus.key: "", self.shards.key: ""}, (), (), frozenset())
        items = find_garbage(self.store, kept)[0]
        assert not [error for item in items if (error := delete_item(item, self.store, kept))]
        return [item.what for item in items]

    @property
    def dropped(self) -> frozenset[str]:
        return read_dropped(self.store.path(self.corpus))

    @property
    def audio(self) -> list[str]:
        folder = self.store.path(self.corpus)
        return sorted(path.name for path in folder.rglob("*.flac"))


def chapters(seconds: float, voices: list[list[float]]) -> dict[str, bytes]:
    """Some chapters of one length."""
    files: dict[str, bytes] = {}
    for number in range(CHAPTERS):
        stem = f"small/{number % 3}/book/{number:02d}"
        files[f"{stem}.flac"] = encode("flac", number, seconds)
        files[f"{stem}.json"] = side_file(str(number % 3), voices)
    return files


@pytest.fixture(scope="module")
def server() -> Iterator[ArchiveServer]:
    small = chapters(3.0, [[0.1, 1.2], [1.3, 2.9]])
    files = {
        "small.tar": tar(small),
        "small.tar.gz": tar(small, "w:gz"),
        "small.tar.bz2": tar(small, "w:bz2"),
        "small.zip": zipped(small),
        "long.tar": tar(chapters(20.0, [[float(start), start + 4.9] for start in range(0, 20, 5)])),
    }
    with serving_archives(files) as found:
        yield found


@pytest.mark.slow
def test_how_a_corpus_is_kept_changes_no_byte_and_house_keeping_follows_it(
    tmp_path: Path, server: ArchiveServer
) -> None:
    places = {keep: Place(tmp_path / str(keep), server, keep).make() for keep in (None, "none", "archives", "files")}
    usual = places[None]
    for place in places.values():
        for artifact, other in ((usual.corpus, place.corpus), (usual.shards, place.shards)):
            assert artifact.key == other.key
            one, two = usual.store.record(artifact), place.store.record(other)
            assert one.files == two.files
            assert {**one.facts, "seconds": 0} == {**two.facts, "seconds": 0}
    assert {keep: len(place.audio) for keep, place in places.items()} == {
        None: CHAPTERS,
        "none": 0,
        "archives": 0,
        "files": CHAPTERS,
    }
    assert {Path(name).suffix for name in places["none"].dropped} == {".flac"}
    assert not places["files"].dropped
    left = {keep: {*place.collect()} for keep, place in places.items()}
    assert left["none"] == {What.ARCHIVES, What.AUDIO}
    assert left["archives"] == {What.AUDIO}  # the side files
    assert left["files"] == {What.ARCHIVES}
    assert len(places["files"].audio) == CHAPTERS
    assert not list(places["none"].store.downloads.glob("*.tar"))
    assert list(places["archives"].store.downloads.glob("*.tar"))
    for place in places.values():
        for artifact in (place.corpus, place.shards):
            assert not list(verify(place.store.path(artifact), no_progress))


@pytest.mark.parametrize("archive", ["small.tar.gz", "small.tar.bz2", "small.zip"])
def test_a_compressed_archive_is_unpacked_and_then_all_of_it_goes(
    tmp_path: Path, server: ArchiveServer, archive: str
) -> None:
    plain = Place(tmp_path / "plain", server, "none").make()
    place = Place(tmp_path / "packed", server, "none", archive)
    place.make_corpus()
    assert len(place.audio) == CHAPTERS  # it cannot be read at any place
    assert place.collect() == [What.ARCHIVES]  # and nobody needs it any more
    place.make()
    both = (plain, place)
    shards = [[path.read_bytes() for path in sorted(one.store.path(one.shards).glob("*.tar"))] for one in both]
    assert shards[0] == shards[1]
    assert place.collect() == [What.AUDIO]
    assert not place.audio
    assert not [path for path in place.store.downloads.iterdir() if path.stat().st_size]


def test_an_archive_that_shards_are_packed_from_is_not_deleted_before(tmp_path: Path, server: ArchiveServer) -> None:
    place = Place(tmp_path, server, "none")
    place.make_corpus()
    assert place.collect() == []
    assert find_thinned([place.shards], place.store) == []  # it can be read where it is
    place.make()
    assert What.ARCHIVES in place.collect()
    assert find_thinned([replace(place.shards, spec=SHARDS.model_copy(update={"min_seconds": 0.6}))], place.store) == [
        place.corpus
    ]


def test_an_archive_that_was_changed_or_lost_gives_no_shards(tmp_path: Path, server: ArchiveServer) -> None:
    place = Place(tmp_path, server, "none")
    place.make_corpus()
    (archive,) = place.store.downloads.glob("*.tar")
    blob = bytearray(archive.read_bytes())
    where = find_place(place.store.path(place.corpus), "audio/small/0/book/00.flac", place.store.downloads)
    assert isinstance(where, Inside)
    blob[where.offset + where.size // 2] ^= 1
    archive.write_bytes(blob)
    with pytest.raises(BadDataError, match=r"FILE_CHANGED: .* at 00\.flac in "):
        place.make()
    archive.unlink()
    with pytest.raises(BadDataError, match="ARCHIVE_MISSING: "):
        place.make()


def test_an_archive_with_other_bytes_is_fetched_again(tmp_path: Path, server: ArchiveServer) -> None:
    place = Place(tmp_path, server, "none")
    archive = place.store.downloads / place.corpus.spec.sources[0].file_name  # type: ignore[union-attr]
    archive.parent.mkdir(parents=True)
    blob = bytearray(server.files["small.tar"])
    blob[len(blob) // 2] ^= 1
    archive.write_bytes(blob)
    place.make_corpus()
    assert archive.read_bytes() == server.files["small.tar"]
    assert archive.with_name(f"{archive.name}.bad").exists()


def test_an_attempt_that_goes_on_reads_nothing_again_and_follows_another_choice(
    tmp_path: Path, server: ArchiveServer
) -> None:
    spec = Place(tmp_path, server, "none").corpus.spec
    for keep, num_files in (("none", 0), ("none", 0), ("files", CHAPTERS), ("none", CHAPTERS)):
        wanted = spec.model_copy(update={"keep": keep})
        before = len(server.seen)
        build_corpus(wanted, tmp_path / "downloads", tmp_path / "out", no_progress, None, 0)
        assert len(list((tmp_path / "out").rglob("*.flac"))) == num_files
        assert len(server.seen) == before + (0 if (tmp_path / "second").exists() else 1)
        (tmp_path / "second").touch()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts the bytes of system calls in /proc")
def test_an_archive_is_read_twice_and_only_shards_are_written(tmp_path: Path, server: ArchiveServer) -> None:
    Place(tmp_path / "warm", server, "none").make()  # imports read files, too
    place, size = Place(tmp_path / "measured", server, "none", "long.tar"), len(server.files["long.tar"])
    place.store.downloads.mkdir(parents=True)
    archive = place.store.downloads / place.corpus.spec.sources[0].file_name  # type: ignore[union-attr]
    archive.write_bytes(server.files["long.tar"])
    before = counted()
    place.make()
    after = counted()
    assert after["rchar"] - before["rchar"] <= 2.2 * size
    written = sum(path.stat().st_size for path in place.store.path(place.shards).glob("*.tar"))
    assert written <= after["wchar"] - before["wchar"] <= written + 0.1 * size


def counted() -> dict[str, int]:
    lines = (line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return {name: int(value) for name, value in lines}


@pytest.mark.parametrize("seconds", [0.01, 0.5, 3.0])
def test_what_is_measured_while_it_is_unpacked_is_what_a_decoder_finds(tmp_path: Path, seconds: float) -> None:
    blob = encode("flac", 1, seconds)
    (tmp_path / "a.flac").write_bytes(blob)
    info, measured = probe(tmp_path / "a.flac"), measure_flac(bytearray(blob), "a.flac")
    assert measured == (info.sample_rate_hz, info.num_samples)


HARMS = [
    lambda blob: blob[:-1],
    lambda blob: blob + blob,
    lambda blob: b"ID3" + blob,
    lambda blob: blob[:40],
    lambda _: b"",
]


@pytest.mark.parametrize("harm", HARMS)
def test_a_file_that_is_not_as_its_header_says_is_left_to_the_decoder(harm: Callable[[bytes], bytes]) -> None:
    assert measure_flac(bytearray(harm(encode("flac", 1, 0.5))), "a.flac") is None
