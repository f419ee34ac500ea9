"""The shipped specs themselves, from the publisher's address to shards. Only the server is another one.

Each spec keeps its sources, format, layout and split; the archives are small ones that a local server has at the same
paths, and digests that a publisher gives are replaced by those of the small archives.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.corpus.publishers.archive_server import ArchiveServer, serving_archives
from tests.corpus.publishers.fetching import SHIPPED
from tests.corpus.publishers.trees import GIGASPEECH_PASSWORD, TREES
from wavlm.corpus.build import build_corpus
from wavlm.corpus.facts import CorpusFacts
from wavlm.corpus.manifest import read_manifest
from wavlm.errors import BadDataError, UsageError
from wavlm.execution.progress import no_progress
from wavlm.pipeline.artifacts import Corpus, Shards
from wavlm.pipeline.first_downloads import describe_digests
from wavlm.pipeline.garbage.notes import archives_of
from wavlm.pipeline.resolve import read_folder, resolve_corpus
from wavlm.pipeline.store import Store
from wavlm.pipeline.verify import verify
from wavlm.shards import build_shards
from wavlm.shards.facts import ShardsFacts
from wavlm.shards.recordings import Intake
from wavlm.specs import AptSource, CorpusSpec, FolderSource, HttpsSource, ShardSpec
from wavlm.specs.yaml import read_corpus

SHARDS = ShardSpec(min_seconds=0.3, max_seconds=10.0, shard_megabytes=1.0)
WITHOUT_DIGEST = [
    "dns-noise",
    "gigaspeech",
    "gigaspeech-episodes",
    "peoples-speech",
    "voxpopuli-en",
    "voxpopuli-en-transcribed",
    "yodas-en",
]


def of_server(server: ArchiveServer, name: str, folder: Path) -> CorpusSpec:
    """A shipped corpus whose archives the server has; of a series those that it has."""
    shipped = read_corpus(SHIPPED / f"{name}.yaml")
    found = [_moved(source, server, folder) for source in shipped.sources]
    spec = shipped.model_copy(update={"sources": tuple(source for source in found if source)})
    if not any(source.lists != "nothing" for source in spec.unpinned):
        assert len(spec.sources) == len(server.files)  # each archive is one that the shipped spec asks for
    return spec


def _moved(source: HttpsSource | AptSource | FolderSource, server: ArchiveServer, folder: Path) -> HttpsSource | None:
    assert isinstance(source, HttpsSource)
    path = urlsplit(source.urls[0]).path.removeprefix("/")
    if path not in server.files:
        return None
    pinned = source.digest_from == "publisher"
    update = {
        "urls": (server.url(path),),
        "sha256": hashlib.sha256(server.files[path]).hexdigest() if pinned else None,
        "md5": None,
        "size_bytes": len(server.files[path]) if source.size_bytes else None,
        "digests": "" if pinned else str(folder / Path(source.digests).name),
    }
    return source.model_copy(update=update)


@pytest.fixture(autouse=True)
def agreed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment of somebody says who has the agreement of GigaSpeech's publisher."""
    monkeypatch.setenv("GIGASPEECH_AGREED", "yes")
    monkeypatch.setenv("GIGASPEECH_PASSWORD", GIGASPEECH_PASSWORD)


def make(spec: CorpusSpec, store: Store) -> tuple[Corpus, Shards]:
    """Corpus and shards as a run makes them: what is not known is downloaded first."""
    read_folder(spec, store)
    corpus = Corpus(resolve_corpus(spec, store))
    assert corpus.is_known
    store.make(corpus, lambda out: build_corpus(corpus.spec, store.downloads, out, no_progress, None, 0))
    shards, made = Shards(SHARDS, corpus), store.path(corpus)
    intake = Intake(spec.channels, spec.role, stall_seconds=0, root=made, archives=store.downloads)
    store.make(shards, lambda out: build_shards(SHARDS, made, out, 1, no_progress, intake))
    return corpus, shards


@pytest.mark.parametrize("name", TREES)
def test_a_shipped_corpus_is_downloaded_unpacked_and_packed(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / "store")
    with serving_archives(TREES[name]()) as server:
        spec = of_server(server, name, tmp_path)
        corpus, shards = make(spec, store)
        assert len(server.seen) == len(server.files)  # each archive is fetched once, first downloads too
        digests = sorted(hashlib.sha256(blob).hexdigest() for blob in server.files.values())
    facts, packed = store.facts(corpus, CorpusFacts), store.facts(shards, ShardsFacts)
    assert sorted(receipt.sha256 for receipt in facts.archives) == digests
    assert facts.utterances == len(list(read_manifest(store.path(corpus)))) > 0
    assert packed.hours == pytest.approx(facts.hours, rel=0.02)  # Ogg, Opus and pieces are cut at frames
    assert not [fault for artifact in (corpus, shards) for fault in verify(store.path(artifact))]
    assert (name in WITHOUT_DIGEST) == bool(list(describe_digests(spec)))


@pytest.mark.parametrize("name", WITHOUT_DIGEST)
def test_a_first_download_and_a_digest_in_the_spec_make_the_same_corpus(tmp_path: Path, name: str) -> None:
    with serving_archives(TREES[name]()) as server:
        spec = of_server(server, name, tmp_path)
        assert not Corpus(spec).is_known
        first, _ = make(spec, one := Store(tmp_path / "one"))
        listed = json.loads((tmp_path / f"{name}.digests.json").read_text())
        assert len(listed) == len(spec.unpinned)
        pinned = spec.model_copy(update={"sources": tuple(_pin(source, listed) for source in spec.sources)})
        other, _ = make(pinned, two := Store(tmp_path / "two"))
    assert Corpus(pinned).key == other.key == first.key
    assert one.record(first).files == two.record(other).files
    assert not list(describe_digests(pinned))


def _pin(source: HttpsSource | AptSource | FolderSource, listed: dict[str, dict[str, str]]) -> HttpsSource:
    assert isinstance(source, HttpsSource)
    return source.model_copy(update={"sha256": listed[source.urls[0]]["sha256"], "digest_from": "publisher"})


def test_what_a_publisher_replaces_is_another_corpus_only_after_somebody_has_accepted_it(tmp_path: Path) -> None:
    with serving_archives(TREES["voxpopuli-en"]()) as server:
        spec = of_server(server, "voxpopuli-en", tmp_path)
        first, _ = make(spec, Store(tmp_path / "one"))
        path = "voxpopuli/audios/en_2010.tar"
        server.files = {**server.files, path: server.files[path] + bytes(10240)}
        two = Store(tmp_path / "two")
        with pytest.raises(BadDataError, match=r"DL_HASH: .*wavlm pin CORPUS --accept [0-9a-f]{64}"):
            make(spec, two)
        assert Corpus(resolve_corpus(spec, two)).key == first.key  # never two contents of one key


def test_a_gated_corpus_asks_for_its_agreement_before_a_first_download(tmp_path: Path) -> None:
    with serving_archives(TREES["yodas-en"]()) as server:
        spec = of_server(server, "yodas-en", tmp_path).model_copy(update={"gated": True})
        with pytest.raises(UsageError, match="GATED: "):
            read_folder(spec, Store(tmp_path))
        assert not server.seen


def test_a_list_of_gigaspeech_that_is_a_web_page_is_no_first_download(tmp_path: Path) -> None:
    files = TREES["gigaspeech"]()
    path = "magichub/GigaSpeech/files.yaml"
    with serving_archives({**files, path: b"<!DOCTYPE html><html>Please log in</html>"}) as server:
        spec = of_server(server, "gigaspeech", tmp_path)
        with pytest.raises(BadDataError, match=r"LAYOUT: this is no list of archives .*kept as .*\.bad"):
            read_folder(spec, Store(tmp_path))
        server.files = files
        read_folder(spec, Store(tmp_path))
    assert Corpus(resolve_corpus(spec, Store(tmp_path))).is_known


def test_house_keeping_keeps_the_archives_that_a_list_names_while_the_corpus_is_not_made(tmp_path: Path) -> None:
    store, listed = Store(tmp_path / "store"), TREES["gigaspeech"]()
    with serving_archives(listed) as server:
        spec = of_server(server, "gigaspeech", tmp_path)
        read_folder(spec, store)
        corpus = Corpus(resolve_corpus(spec, store))
        before = set(archives_of(Corpus(spec), store))
        names = set(archives_of(corpus, store))
    assert len(names) == len(listed)
    assert before == {spec.unpinned[0].file_name}  # the list itself, while it is half downloaded
    md5s = {line.rpartition(" ")[2] for line in listed["magichub/GigaSpeech/files.yaml"].decode().splitlines()}
    assert {name.partition(".")[0] for name in names if name.endswith(".aes")} < md5s


def test_what_another_corpus_has_downloaded_is_listed_beside_each_spec_that_takes_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with serving_archives(TREES["gigaspeech"]()) as server:
        one, _ = make(of_server(server, "gigaspeech", tmp_path), store)
        other, _ = make(of_server(server, "gigaspeech-episodes", tmp_path), store)
        assert len(server.seen) == len(server.files)
    assert one.key != other.key
    lists = [tmp_path / f"{name}.digests.json" for name in ("gigaspeech", "gigaspeech-episodes")]
    assert lists[0].read_text() == lists[1].read_text()
