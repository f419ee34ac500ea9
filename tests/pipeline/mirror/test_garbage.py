"""House-keeping of a mirror: damage is found, and nothing is deleted that an entry names, or that a push relies on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from tests.object_stores import environment
from tests.pipeline.mirror.artifacts import fill_folder, make_store
from tests.pipeline.test_store import corpus as corpus_of
from tests.pipeline.test_store import shards as shards_of
from tests.storage.mirror.bad_store import serving
from tests.waiting import wait_until
from wavlm.errors import BadDataError, CodedError, LockedError, ServiceMissingError
from wavlm.pipeline.artifacts import KINDS, Artifact
from wavlm.pipeline.mirror import collection, garbage
from wavlm.pipeline.mirror import push as pushing
from wavlm.pipeline.mirror.collection import SIGNS, collecting
from wavlm.pipeline.mirror.contents import objects_of
from wavlm.pipeline.mirror.entry import ENTRIES, entry_key, list_entries
from wavlm.pipeline.mirror.fetch import fetch
from wavlm.pipeline.mirror.garbage import DAY_SECONDS, delete_unnamed, find_unnamed
from wavlm.pipeline.mirror.push import push
from wavlm.pipeline.mirror.verify import verify_mirror
from wavlm.pipeline.store import Store
from wavlm.pipeline.verify import verify
from wavlm.storage.elsewhere import Elsewhere
from wavlm.storage.mirror.mirror import Mirror
from wavlm.storage.mirror.patience import Patience

QUICK = Patience(attempts=2, pause_seconds=0.01, retries=1, silent_seconds=1.0, base_seconds=1.0, memory_bytes=1 << 30)


@pytest.fixture
def mirror(address: str) -> Iterator[Mirror]:
    with Mirror(address) as opened:
        yield opened


@pytest.fixture
def folder_mirror(folder_address: str) -> Iterator[Mirror]:
    with Mirror(folder_address) as opened:
        yield opened


@pytest.fixture
def in_eight_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock of the store, of which the sign of a collection tells the time."""
    written = Mirror.written_unix

    def later(self: Mirror, key: str) -> float | None:
        return (written(self, key) or 0.0) + 8 * DAY_SECONDS if key.startswith(SIGNS) else written(self, key)

    monkeypatch.setattr(Mirror, "written_unix", later)


def push_all(store: Store, mirror: Mirror) -> None:
    for folder in store.folders():
        push(folder, mirror)


def forget(artifact: Artifact, mirror: Mirror) -> None:
    """Delete an entry, as people may do by hand."""
    mirror.delete(entry_key(artifact.kind, artifact.key))


def names_of(mirror: Mirror) -> set[str]:
    return {key for key, _ in mirror.list("objects")}


def named_by(mirror: Mirror) -> set[str]:
    return {item.key for entry in list_entries(mirror) for item in objects_of(entry, mirror)}


def require_whole(mirror: Mirror, folder: Path) -> None:
    """All that the mirror names can be fetched into a new store, and is what was made."""
    assert verify_mirror(mirror, deep=True).damages == ()
    for entry in list_entries(mirror):
        fetch(entry, mirror, folder, Elsewhere(mirror=mirror.address))
    assert [verify(path) for path in Store(folder).folders()] == [[] for _ in list_entries(mirror)]


def test_what_no_entry_names_goes_when_it_is_old_and_nothing_else(
    mirror: Mirror, tmp_path: Path, in_eight_days: None
) -> None:
    store, _, shards = make_store(tmp_path / "one")
    push_all(store, mirror)
    before = names_of(mirror)
    assert delete_unnamed(mirror, 7) == []
    forget(shards, mirror)
    kept = named_by(mirror)
    assert delete_unnamed(mirror, 9) == []
    assert names_of(mirror) == before
    gone = delete_unnamed(mirror, 7)
    assert {item.key for item in gone} == before - kept
    assert len(gone) == 6  # two tars, their index, record, seal and the digests of parts
    assert names_of(mirror) == kept
    assert mirror.list(SIGNS) == []
    require_whole(mirror, tmp_path / "two")


def test_what_is_found_is_counted_and_left(mirror: Mirror, tmp_path: Path) -> None:
    store, _, shards = make_store(tmp_path / "one")
    push_all(store, mirror)
    forget(shards, mirror)
    mirror.replace("objects/zz/not-ours", b"x")
    before = mirror.list("objects")
    now = find_unnamed(mirror, 7)
    assert (now.num_entries, now.num_objects, len(now.old), len(now.young), now.num_strange) == (1, 11, 0, 6, 1)
    later = find_unnamed(mirror, 7, time.time() + 8 * DAY_SECONDS)
    assert (later.old, later.young) == (now.young, now.old)
    assert now.num_bytes == sum(size for _, size in before) - 1
    assert mirror.list("objects") == before


def test_what_another_generation_names_stays(folder_mirror: Mirror, tmp_path: Path, in_eight_days: None) -> None:
    store, _, first = make_store(tmp_path / "one")
    second = shards_of(corpus_of("2"))
    store.make(second.corpus, lambda out: fill_folder(out, "corpus", "more"))
    store.make(second, lambda out: fill_folder(out, "shards", ""))
    push_all(store, folder_mirror)
    forget(first, folder_mirror)
    assert len(delete_unnamed(folder_mirror, 7)) == 2  # record and seal
    require_whole(folder_mirror, tmp_path / "two")


def test_one_entry_that_cannot_be_read_keeps_everything(
    folder_mirror: Mirror, tmp_path: Path, in_eight_days: None
) -> None:
    store, corpus, shards = make_store(tmp_path / "one")
    push_all(store, folder_mirror)
    (record,) = (item.key for entry in list_entries(folder_mirror) for item in objects_of(entry, folder_mirror)
                 if item.name.startswith("corpus") and item.name.endswith("artifact.json"))  # fmt: skip
    forget(shards, folder_mirror)
    folder_mirror.replace(record, b"{}")
    before = folder_mirror.list("objects")
    with pytest.raises(BadDataError, match=r"MIRROR_DAMAGED") as refused:
        delete_unnamed(folder_mirror, 7)
    assert f"what corpus/{corpus.key} names is not known" in refused.value.__notes__[0]
    assert folder_mirror.list("objects") == before
    assert folder_mirror.list(SIGNS) == []


def test_a_mirror_without_any_entry_is_not_emptied(folder_mirror: Mirror, tmp_path: Path, in_eight_days: None) -> None:
    """A user who may not list entries, or a wrong address, would look like this."""
    store, corpus, shards = make_store(tmp_path / "one")
    push_all(store, folder_mirror)
    for artifact in (corpus, shards):
        forget(artifact, folder_mirror)
    with pytest.raises(BadDataError, match=r"MIRROR_DAMAGED: there are 11 objects and no entry"):
        delete_unnamed(folder_mirror, 7)
    assert len(folder_mirror.list("objects")) == 11


def test_an_entry_that_comes_back_between_two_batches_keeps_what_is_left(
    folder_mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_eight_days: None
) -> None:
    store, _, shards = make_store(tmp_path / "one")
    push_all(store, folder_mirror)
    entry = folder_mirror.read(entry_key("shards", shards.key))
    assert entry
    forget(shards, folder_mirror)
    delete = Mirror.delete

    def delete_and_return(self: Mirror, key: str) -> None:
        delete(self, key)
        self.replace(entry_key("shards", shards.key), entry)

    victim = "0" * 64
    folder_mirror.replace(f"objects/00/{victim}", b"of nobody")  # the first of all
    monkeypatch.setattr(garbage, "BATCH", 1)
    monkeypatch.setattr(Mirror, "delete", delete_and_return)
    assert [item.key for item in delete_unnamed(folder_mirror, 7)] == [f"objects/00/{victim}"]
    monkeypatch.undo()
    require_whole(folder_mirror, tmp_path / "two")


def test_a_push_whose_objects_are_deleted_before_its_entry_is_there_sends_them_again(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_eight_days: None
) -> None:
    """It found them there, old and named by nobody, and relied on them."""
    store, _, shards = make_store(tmp_path / "one")
    push_all(store, mirror)
    forget(shards, mirror)
    write_entry, deleted = pushing.write_entry, []

    def write_late(*args: Any, **how: Any) -> bool:
        deleted.extend(delete_unnamed(mirror, 7))
        return write_entry(*args, **how)

    monkeypatch.setattr(pushing, "write_entry", write_late)
    pushed = push(store.path(shards), mirror)
    assert len(deleted) == 6
    assert pushed.num_sent == 5
    require_whole(mirror, tmp_path / "two")


def test_a_push_waits_for_a_collection_that_may_not_have_seen_its_entry(
    folder_mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _, shards = make_store(tmp_path / "one")
    push_all(store, folder_mirror)
    forget(shards, folder_mirror)
    unnamed = names_of(folder_mirror) - named_by(folder_mirror)
    monkeypatch.setattr(collection, "LOOK_SECONDS", 0.01)
    thread = threading.Thread(target=push, args=(store.path(shards), folder_mirror))
    with collecting(folder_mirror):
        thread.start()
        wait_until(lambda: folder_mirror.size_of(entry_key("shards", shards.key)) is not None)
        for key in unnamed:  # what it has found unnamed before
            folder_mirror.delete(key)
        assert thread.is_alive()
    thread.join()
    require_whole(folder_mirror, tmp_path / "two")


def test_the_sign_of_one_that_was_killed_stops_nobody_for_ever(
    folder_mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, corpus, _ = make_store(tmp_path / "one")
    folder_mirror.replace(f"{SIGNS}/of-one-that-was-killed.json", b"{}")
    with pytest.raises(LockedError, match=r"LOCKED: objects of this mirror are being deleted"):
        delete_unnamed(folder_mirror, 7)
    monkeypatch.setattr(collection, "SIGN_SECONDS", -1.0)
    monkeypatch.setattr(collection, "SPARE_SECONDS", 0.0)
    push(store.path(corpus), folder_mirror)
    with collecting(folder_mirror):
        assert len(folder_mirror.list(SIGNS)) == 1  # ours


def test_who_is_too_slow_stops_deleting(
    folder_mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_eight_days: None
) -> None:
    store, _, shards = make_store(tmp_path / "one")
    push_all(store, folder_mirror)
    forget(shards, folder_mirror)
    before = folder_mirror.list("objects")
    monkeypatch.setattr(collection, "SIGN_SECONDS", -1.0)
    with pytest.raises(LockedError, match="deleting took too long"):
        delete_unnamed(folder_mirror, 7)
    assert folder_mirror.list("objects") == before


@pytest.mark.parametrize("behaviour", ["busy", "denied", "page", "cut-always", "other-bytes", "silent"])
def test_a_store_that_misbehaves_loses_no_object(behaviour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(b"<ListBucketResult><Contents><Key>objects/00/" + b"0" * 64 + b"</Key>") as server:
        for name, value in environment(server.endpoint).items():
            monkeypatch.setenv(name, value)
        with Mirror(f"s3://{behaviour}", QUICK) as opened, pytest.raises(CodedError):
            delete_unnamed(opened, 7)
        assert not [path for method, path, _ in server.seen if method == "DELETE" and "objects" in path]


def test_a_listing_that_ends_too_early_deletes_nothing(
    folder_mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_eight_days: None
) -> None:
    """Such as one whose second page is that of a proxy, which clients take for the end."""
    store, _, shards = make_store(tmp_path / "one")
    push_all(store, folder_mirror)
    before = folder_mirror.list("objects")
    listed = Mirror.list_dated

    def cut(self: Mirror, prefix: str) -> object:
        return listed(self, prefix)[:1] if prefix == ENTRIES else listed(self, prefix)

    monkeypatch.setattr(Mirror, "list_dated", cut)
    with pytest.raises(ServiceMissingError, match="MIRROR_LOST: a listing lacks what was just written"):
        delete_unnamed(folder_mirror, 7)
    monkeypatch.undo()
    assert folder_mirror.list("objects") == before
    assert shards.key in {entry.key for entry in list_entries(folder_mirror)}


@pytest.mark.parametrize("address", ["moto", "rclone"], indirect=True)
def test_the_sign_is_the_last_name_of_a_listing(mirror: Mirror) -> None:
    for kind in KINDS:
        mirror.replace(entry_key(kind, "f" * 12), b"")
    with collecting(mirror) as sign:
        names = [name for name, *_ in mirror.list_dated(ENTRIES)]
    assert names[-1] == sign.key
    assert len(names) == len(KINDS) + 1


def test_an_entry_that_is_listed_and_not_found_keeps_everything(
    folder_mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_eight_days: None
) -> None:
    store, _, shards = make_store(tmp_path / "one")
    push_all(store, folder_mirror)
    read = Mirror.read

    def lie(self: Mirror, key: str, *most: int) -> bytes | None:
        return None if shards.key in key else read(self, key, *most)

    monkeypatch.setattr(Mirror, "read", lie)
    with pytest.raises(ServiceMissingError, match="MIRROR_LOST: an entry is listed, and cannot be read"):
        delete_unnamed(folder_mirror, 7)
    assert len(folder_mirror.list("objects")) == 11


def test_all_that_differs_from_the_entries_is_named(mirror: Mirror, tmp_path: Path) -> None:
    store, corpus, _ = make_store(tmp_path / "one")
    push_all(store, mirror)
    found = verify_mirror(mirror, deep=True)
    assert (found.num_artifacts, found.num_objects, found.damages) == (2, 11, ())
    assert found.num_bytes == sum(size for _, size in mirror.list("objects"))
    keys = {item.name.rpartition("/")[2]: item.key for entry in list_entries(mirror)
            for item in objects_of(entry, mirror) if not item.name.endswith(".json")}  # fmt: skip
    size = mirror.size_of(keys["train-000000.tar"]) or 0
    mirror.replace(keys["train-000000.tar"], b"!" * size)
    mirror.replace(keys["train-000001.tar"], b"short")
    mirror.delete(keys["one.flac"])
    said = verify_mirror(mirror).damages
    assert [line.partition(": ")[2].partition(";")[0] for line in said] == [
        "found no object, expected 5000 bytes", f"found 5 bytes, expected {size} bytes",
    ]  # fmt: skip
    assert keys["one.flac"] in said[0]
    assert "audio/ann/one.flac" in said[0]
    deep = verify_mirror(mirror, deep=True).damages
    assert deep[:2] == said
    assert [line.partition(": ")[2].partition(";")[0] for line in deep[2:]] == [
        f"found other bytes, expected {size} bytes"
    ]
    assert verify_mirror(mirror, lambda name: corpus.key in name).damages == said[:1]


def test_an_entry_that_was_changed_is_damage_and_the_others_are_looked_at(
    folder_mirror: Mirror, tmp_path: Path
) -> None:
    store, corpus, _ = make_store(tmp_path / "one")
    push_all(store, folder_mirror)
    folder_mirror.replace(entry_key("corpus", corpus.key), b"{}")
    found = verify_mirror(folder_mirror)
    assert (found.num_artifacts, len(found.damages)) == (1, 1)
    assert found.damages[0].startswith(f"corpus/{corpus.key}: MIRROR_DAMAGED: ")


def test_the_commands_say_what_they_found(folder_address: str, tmp_path: Path) -> None:
    store, corpus, shards = make_store(tmp_path / "one")
    run = CliRunner().invoke
    with Mirror(folder_address) as mirror:
        push_all(store, mirror)
        whole = run(app, ["verify", "--mirror", folder_address, "--deep"])
        assert (whole.exit_code, whole.stdout) == (0, "2 artifacts: 11 objects, 43.9 kB, are what was pushed\n"), whole
        forget(shards, mirror)
        shown = run(app, ["gc", "--mirror", folder_address])
        assert "named by no entry, and older than 7 days: 0 objects, 0 B" in shown.stdout
        assert "perhaps of a push that is under way: 6 objects" in shown.stdout
        assert run(app, ["gc", "--mirror", folder_address, "--delete"]).stdout.startswith("0 objects deleted")
        assert len(mirror.list("objects")) == 11
        (victim,) = (item.key for entry in list_entries(mirror) for item in objects_of(entry, mirror)
                     if item.name.endswith("two.flac"))  # fmt: skip
        mirror.delete(victim)
        damaged = run(app, ["verify", "--mirror", folder_address])
    assert damaged.exit_code == 65
    assert damaged.stdout.startswith(f"DAMAGED: {corpus.kind}/")
    refused = run(app, ["gc", "--mirror", folder_address, "--only", "trash"])
    assert "leave out --keep, --forget and --only: all goes" in str(refused.exception)
    assert "MIRROR_LACKS" in str(run(app, ["verify", "--mirror", folder_address, "--only", "nothing"]).exception)
