"""Push and fetch: what arrives is what was sent, nothing is sent twice, and nothing appears that is not whole."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.mirror.artifacts import FILES, files_in, fill_folder, make_store
from wavlm.errors import BadDataError, CodedError
from wavlm.pipeline.mirror.entry import entry_key, list_entries, read_entry
from wavlm.pipeline.mirror.fetch import fetch, fill
from wavlm.pipeline.mirror.push import push
from wavlm.pipeline.store import Store
from wavlm.pipeline.verify import verify
from wavlm.storage.digested import parse_digested, to_digested
from wavlm.storage.drops import read_dropped, write_dropped
from wavlm.storage.elsewhere import Elsewhere, open_file, read_range
from wavlm.storage.mirror.mirror import Mirror


@pytest.fixture
def mirror(address: str) -> Iterator[Mirror]:
    with Mirror(address) as opened:
        yield opened


@pytest.fixture
def folder_mirror(folder_address: str) -> Iterator[Mirror]:
    with Mirror(folder_address) as opened:
        yield opened


def push_all(store: Store, mirror: Mirror) -> list[int]:
    return [push(folder, mirror).num_sent for folder in store.folders()]


def fetch_all(mirror: Mirror, root: Path, *, is_light: bool = False, elsewhere: Elsewhere | None = None) -> Store:
    where = elsewhere or Elsewhere(mirror=mirror.address)
    for entry in list_entries(mirror):
        fetch(entry, mirror, root, where, is_light=is_light)
    return Store(root)


def test_another_store_gets_the_same_bytes(mirror: Mirror, tmp_path: Path) -> None:
    store, corpus, shards = make_store(tmp_path / "one")
    assert push_all(store, mirror) == [5, 5]  # their files, record and seal
    other = fetch_all(mirror, tmp_path / "two")
    for artifact in (corpus, shards):
        assert other.is_complete(artifact)
        found = files_in(other.path(artifact))
        found = {name: content for name, content in found.items() if not name.startswith("mirror.")}
        assert found == files_in(store.path(artifact))
        assert verify(other.path(artifact)) == []
    assert push_all(other, mirror) == [0, 0]


def test_what_is_there_is_not_sent_again_and_an_interrupted_push_goes_on(
    folder_mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, corpus, _ = make_store(tmp_path / "one")
    send, sent = Mirror.send, []

    def send_two(self: Mirror, path: Path, *args: Any) -> None:
        if len(sent) == 2:
            raise KeyboardInterrupt
        send(self, path, *args)
        sent.append(path)

    monkeypatch.setattr("wavlm.pipeline.mirror.transfer.THREADS", 1)
    monkeypatch.setattr(Mirror, "send", send_two)
    with pytest.raises(KeyboardInterrupt):
        push(store.path(corpus), folder_mirror)
    assert read_entry(folder_mirror, "corpus", corpus.key) is None
    monkeypatch.setattr(Mirror, "send", send)
    assert push(store.path(corpus), folder_mirror).num_sent == 3
    assert push(store.path(corpus), folder_mirror).was_there


def test_of_two_stores_that_made_the_same_in_different_ways_one_wins(mirror: Mirror, tmp_path: Path) -> None:
    first, corpus, shards = make_store(tmp_path / "one")
    second, *_ = make_store(tmp_path / "two", "other")
    push(first.path(corpus), mirror)
    with pytest.raises(BadDataError, match=rf"MIRROR_DIFFERS.*{corpus.key}"):
        push(second.path(corpus), mirror)
    with pytest.raises(BadDataError, match=r"MIRROR_DIFFERS.*was made from another"):
        push(second.path(shards), mirror)
    fetched = fetch_all(mirror, tmp_path / "three")
    assert verify(fetched.path(corpus)) == []
    with pytest.raises(BadDataError, match="MIRROR_DIFFERS"):
        fetch_all(mirror, tmp_path / "two")


def test_two_that_push_at_once_leave_one_whole_artifact(mirror: Mirror, tmp_path: Path) -> None:
    stores = [make_store(tmp_path / name, name)[0] for name in ("one", "two")]
    *_, shards = make_store(tmp_path / "four")
    refused: list[CodedError] = []

    def push_one(store: Store) -> None:
        try:
            push_all(store, mirror)
        except CodedError as error:
            refused.append(error)

    threads = [threading.Thread(target=push_one, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {error.code for error in refused} <= {"MIRROR_DIFFERS"}
    assert refused or not mirror.address.startswith("file:")  # the only one whose conditions hold for two at once
    fetched = fetch_all(mirror, tmp_path / "three")
    assert all(verify(folder) == [] for folder in fetched.folders())
    # Shards of one and the corpus of the other are not taken for each other's.
    assert fetched.is_complete(shards) or refused or fetched.explain_outdated(shards)


def test_a_file_that_was_damaged_here_is_not_pushed(folder_mirror: Mirror, tmp_path: Path) -> None:
    store, _, shards = make_store(tmp_path / "one")
    path = store.path(shards) / "train-000000.tar"
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(BadDataError, match=r"CHECKSUM.*train-000000\.tar"):
        push(store.path(shards), folder_mirror)
    assert list(list_entries(folder_mirror)) == []


def test_an_object_that_was_damaged_is_found_named_and_mended(
    folder_mirror: Mirror, folder_address: str, tmp_path: Path
) -> None:
    store, _, shards = make_store(tmp_path / "one")
    push_all(store, folder_mirror)
    objects = Path(folder_address.removeprefix("file://")) / "objects"
    victim = max(objects.glob("*/*"), key=lambda path: path.read_bytes().startswith(b"tartar"))
    victim.write_bytes(victim.read_bytes()[:-1] + b"!")
    with pytest.raises(BadDataError, match=f"MIRROR_DAMAGED.*{victim.name}"):
        fetch_all(folder_mirror, tmp_path / "two")
    assert not Store(tmp_path / "two").is_complete(shards)
    assert push(store.path(shards), folder_mirror).was_there  # nobody looked
    assert push(store.path(shards), folder_mirror, check=True).num_sent == 1
    assert fetch_all(folder_mirror, tmp_path / "two").is_complete(shards)


def test_a_push_from_a_store_that_lacks_files_leaves_the_mirror_those_that_it_has(
    folder_mirror: Mirror, tmp_path: Path
) -> None:
    store, _, shards = make_store(tmp_path / "one")
    push_all(store, folder_mirror)
    other = fetch_all(folder_mirror, tmp_path / "two", is_light=True)
    for folder in other.folders():
        push(folder, folder_mirror, check=True)
    third = fetch_all(folder_mirror, tmp_path / "three")
    for folder in third.folders():
        assert not read_dropped(folder)
        assert verify(folder) == []
    whole = (store.path(shards) / "train-000001.tar").read_bytes()
    assert read_range(other.path(shards), "train-000001.tar", 100, 50) == whole[100:150]
    assert [entry.num_bytes for entry in list_entries(folder_mirror)] == [
        sum(len(content) for content in FILES[kind].values()) for kind in ("corpus", "shards")
    ]


def test_two_stores_that_each_lack_a_file_give_a_mirror_all_of_them(folder_mirror: Mirror, tmp_path: Path) -> None:
    for name, lacking in (("one", "train-000000.tar"), ("two", "train-000001.tar")):
        store, corpus, shards = make_store(tmp_path / name)
        write_dropped(store.path(shards), [lacking], 0.0)
        (store.path(shards) / lacking).unlink()
        for artifact in (corpus, shards):
            push(store.path(artifact), folder_mirror)
    third = fetch_all(folder_mirror, tmp_path / "three")
    assert verify(third.path(shards)) == []
    assert not read_dropped(third.path(shards))
    for name in ("train-000000.tar", "train-000001.tar"):
        whole = (third.path(shards) / name).read_bytes()
        assert read_range(third.path(shards), name, 7, 9) == whole[7:16]


def test_an_object_that_is_damaged_and_not_here_is_named(folder_mirror: Mirror, tmp_path: Path) -> None:
    store, _, shards = make_store(tmp_path / "one")
    push_all(store, folder_mirror)
    other = fetch_all(folder_mirror, tmp_path / "two", is_light=True)
    objects = Path(folder_mirror.address.removeprefix("file://")) / "objects"
    victim = max(objects.glob("*/*"), key=lambda path: path.read_bytes().startswith(b"tartar"))
    victim.write_bytes(victim.read_bytes()[:-1] + b"!")
    with pytest.raises(BadDataError, match=rf"MIRROR_DAMAGED.*{victim.name}.*from a store that has it"):
        push(other.path(shards), folder_mirror, check=True)
    assert push(store.path(shards), folder_mirror, check=True).num_sent == 1


def test_an_interrupted_fetch_shows_nothing_and_goes_on(
    folder_mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _, shards = make_store(tmp_path / "one")
    push_all(store, folder_mirror)
    bring, brought = Mirror.fetch, []

    def bring_some(self: Mirror, key: str, path: Path, *args: Any) -> None:
        if path.name == "train-000001.tar" and len(brought) < 100:
            brought.extend([""] * 100)
            raise KeyboardInterrupt
        brought.append(path.name)
        bring(self, key, path, *args)

    monkeypatch.setattr("wavlm.pipeline.mirror.transfer.THREADS", 1)
    monkeypatch.setattr(Mirror, "fetch", bring_some)
    with pytest.raises(KeyboardInterrupt):
        fetch_all(folder_mirror, tmp_path / "two")
    other = Store(tmp_path / "two")
    assert not other.is_complete(shards)
    assert not list((tmp_path / "two" / "shards").glob("*"))
    del brought[:]
    brought.extend([""] * 100)
    fetch_all(folder_mirror, tmp_path / "two")
    assert sorted(brought[100:]) == ["artifact.json", "mirror.pieces", "seal.json", "train-000001.tar"]
    assert verify(other.path(shards)) == []


def test_a_light_fetch_is_complete_and_gets_its_large_files_later(folder_mirror: Mirror, tmp_path: Path) -> None:
    store, corpus, shards = make_store(tmp_path / "one")
    push_all(store, folder_mirror)
    other = fetch_all(folder_mirror, tmp_path / "two", is_light=True)
    assert other.has_all([corpus, shards])
    assert read_dropped(other.path(corpus)) == {"audio/ann/one.flac", "audio/bob/two.flac"}
    assert not (other.path(shards) / "train-000000.tar").exists()
    assert [verify(folder) for folder in other.folders()] == [[], []]
    assert push_all(other, folder_mirror) == [0, 0]  # which does not make the mirror forget what this store lacks
    fill(other.path(corpus), folder_mirror)
    fetch_all(folder_mirror, tmp_path / "two")
    for artifact in (corpus, shards):
        assert not read_dropped(other.path(artifact))
        assert verify(other.path(artifact)) == []
        expected = files_in(store.path(artifact))
        assert {name: files_in(other.path(artifact))[name] for name in expected} == expected


def test_tars_are_read_through_the_cache(folder_mirror: Mirror, tmp_path: Path) -> None:
    import os

    store, _, shards = make_store(tmp_path / "one")
    push_all(store, folder_mirror)
    elsewhere = Elsewhere(mirror=folder_mirror.address, cache=str(tmp_path / "cache"), cache_bytes=20_000)
    other = fetch_all(folder_mirror, tmp_path / "two", is_light=True, elsewhere=elsewhere)
    for name in ("train-000000.tar", "train-000001.tar", "train-000000.tar"):
        handle = open_file(other.path(shards), name)
        expected = (store.path(shards) / name).read_bytes()
        assert os.pread(handle, 100_000, 0) == expected
        os.close(handle)
    assert len([path for path in (tmp_path / "cache").iterdir() if len(path.name) == 64]) == 1
    with pytest.raises(FileNotFoundError):
        open_file(other.path(shards), "train-000002.tar")


@pytest.mark.parametrize(
    "change",
    [
        {"content": "0" * 64},
        {"inputs": {"0" * 12: "0" * 64}},
        {"key": "0" * 12},
        {"name": "../../escaped"},
        {"kind": "corpus"},
    ],
)
def test_an_entry_that_was_changed_brings_nothing(
    folder_mirror: Mirror, tmp_path: Path, change: dict[str, object]
) -> None:
    store, _, shards = make_store(tmp_path / "one")
    push(store.path(shards), folder_mirror)
    key = entry_key("shards", shards.key)
    blob = folder_mirror.read(key)
    assert blob
    folder_mirror.replace(key, to_digested(parse_digested(blob).content | change).encode())
    with pytest.raises(BadDataError, match="MIRROR_DAMAGED"):
        fetch_all(folder_mirror, tmp_path / "two")
    assert not Store(tmp_path / "two").is_complete(shards)


def test_a_record_with_names_that_lead_outside_brings_nothing(folder_mirror: Mirror, tmp_path: Path) -> None:
    from tests.sealed import seal
    from wavlm.pipeline.record import read_record, write_record
    from wavlm.specs.identity import key_of

    folder = tmp_path / "one" / "shards" / f"evil-{key_of({})}"
    folder.mkdir(parents=True)
    (folder / "inside").write_bytes(b"x")
    seal(folder)
    record = read_record(folder)
    outside = {"../../../outside": record.files["inside"]}
    write_record(folder, record.model_copy(update={"key": key_of({}), "files": outside}))
    from wavlm.pipeline.record import Seal, write_seal
    from wavlm.storage.seals import content_of

    write_seal(folder, Seal(content=content_of(outside), inputs={}))
    (tmp_path / "outside").write_bytes(b"x")
    push(folder, folder_mirror)
    (tmp_path / "outside").unlink()
    with pytest.raises(BadDataError, match="PATH_ESCAPE"):
        fetch_all(folder_mirror, tmp_path / "two")
    assert not (tmp_path / "outside").exists()


def test_garbage_for_an_entry_is_named(folder_mirror: Mirror) -> None:
    key = entry_key("shards", "0" * 12)
    for blob in (b"", b"{}", b"<html>", json.dumps({"digest": "0" * 64}).encode()):
        folder_mirror.replace(key, blob)
        with pytest.raises(BadDataError, match=f"MIRROR_DAMAGED.*{key}"):
            list(list_entries(folder_mirror))


def test_generations_that_share_files_are_sent_and_fetched_once(
    folder_mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.pipeline.test_store import corpus as corpus_of
    from tests.pipeline.test_store import shards as shards_of

    store, _, first = make_store(tmp_path / "one")
    second = shards_of(corpus_of("2"))
    store.make(second.corpus, lambda out: fill_folder(out, "corpus", "more"))
    store.make(second, lambda out: fill_folder(out, "shards", ""))
    push_all(store, folder_mirror)
    objects = len(folder_mirror.list("objects"))
    assert objects == 5 + 6 + 5 + 2  # the second shards add a record and a seal
    bring, brought = Mirror.fetch, []
    monkeypatch.setattr(Mirror, "fetch", lambda self, *args: (brought.append(args[1].name), bring(self, *args)))
    other = fetch_all(folder_mirror, tmp_path / "two")
    assert brought.count("train-000000.tar") == 1
    assert verify(other.path(first)) == verify(other.path(second)) == []
