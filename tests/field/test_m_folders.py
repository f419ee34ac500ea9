"""Kind M, folders as identity: a folder was identified by its path, so two projects with other speech shared one key in
one store and the second got the first one's model; files could change under the same key; a moved folder was another
corpus.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from flows.cli.plan import plan_table
from tests.corpus.corpora import grow, tone
from tests.folders import corpus_and_shards, make_both, read_resolved, write_project
from wavlm.corpus import hashing as hashing_module
from wavlm.corpus.contents import find_contents, read_contents
from wavlm.corpus.digests import Cache
from wavlm.corpus.manifest import read_manifest
from wavlm.errors import BadDataError, CodedError, UsageError
from wavlm.pipeline.known import require_known
from wavlm.pipeline.plan import plan
from wavlm.pipeline.resolve import resolve
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.specs.yaml import read_recipe
from wavlm.storage.files import sha256_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def keys(recipe: Recipe) -> list[str]:
    return [artifact.key for artifact in plan(recipe)]


def count_hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are hashed from now on."""
    hashed: list[str] = []
    original = hashing_module.hash_pieces

    def hash_pieces(path: Path) -> Iterator[str]:
        hashed.append(path.name)
        return original(path)

    monkeypatch.setattr(hashing_module, "hash_pieces", hash_pieces)
    return hashed


def test_two_projects_with_the_same_specs_and_other_speech_share_a_store(tmp_path: Path, store: Store) -> None:
    first = read_resolved(write_project(tmp_path / "one"), store)
    second = read_resolved(write_project(tmp_path / "two", speakers=("dan", "eve", "fay")), store)
    assert not set(keys(first)) & set(keys(second))


def test_two_projects_with_the_same_speech_share_what_is_made(tmp_path: Path, store: Store) -> None:
    first = read_resolved(write_project(tmp_path / "one"), store)
    second = read_resolved(write_project(tmp_path / "two", path=str(tmp_path / "two/wavs")), store)
    assert keys(first) == keys(second)


def test_a_relative_path_starts_at_the_spec_and_not_where_the_command_runs(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_project(tmp_path / "one")
    write_project(tmp_path / "two", speakers=("dan",))
    there = keys(read_resolved(recipe, store))
    monkeypatch.chdir(tmp_path / "two/specs/corpora")
    assert keys(read_resolved(recipe, store)) == there
    monkeypatch.chdir(recipe.parent)
    assert keys(read_resolved(Path(recipe.name), store)) == there


def test_home_is_understood(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = write_project(tmp_path / "one", path="~/wavs")
    monkeypatch.setenv("HOME", str(tmp_path / "one"))
    assert len(corpus_and_shards(read_resolved(recipe, store))[0].key) == 12


def test_a_moved_folder_is_the_same_corpus_and_its_shards_can_still_be_made(tmp_path: Path, store: Store) -> None:
    recipe = write_project(tmp_path / "one")
    before = read_resolved(recipe, store)
    corpus, shards = make_both(before, store)
    packed = (store.path(shards) / "index.parquet").read_bytes()
    manifest = (store.path(corpus) / "manifest.parquet").read_bytes()
    shutil.move(tmp_path / "one", tmp_path / "elsewhere")
    after = read_resolved(tmp_path / "elsewhere/specs/recipes/small.yaml", store)
    assert keys(after) == keys(before)
    store.redo(shards)
    make_both(after, store)
    assert (store.path(shards) / "index.parquet").read_bytes() == packed
    store.redo(corpus)
    make_both(after, store)
    assert (store.path(corpus) / "manifest.parquet").read_bytes() == manifest


def test_plan_hashes_nothing_and_shows_what_is_not_known(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_project(tmp_path / "one")
    hashed = count_hashed(monkeypatch)
    table = plan_table(recipe, store)
    assert list(table.columns[0].cells) == ["[yellow]?[/]"] * table.row_count
    assert list(table.columns[1].cells)[:2] == ["corpus/voices-?", "shards/voices-?"]
    assert hashed == []
    read_resolved(recipe, store)
    assert len(hashed) == 6
    assert "[yellow]?[/]" not in set(plan_table(recipe, store).columns[0].cells)
    assert len(hashed) == 6


def test_an_unknown_key_opens_nothing_in_the_store(tmp_path: Path, store: Store) -> None:
    recipe = resolve(read_recipe(write_project(tmp_path / "one")), store)
    for artifact in plan(recipe):
        assert artifact.key.startswith("?")
        assert not store.is_complete(artifact)
        for use in (store.path, store.partial_folder, store.require, store.redo, store.record):
            with pytest.raises(CodedError, match=r"FOLDER_UNKNOWN.*voices|FOLDER_UNKNOWN"):
                use(artifact)
    with pytest.raises(UsageError, match=r"FOLDER_UNKNOWN: the folder of voices .*wavlm run"):
        require_known(recipe, store)


def test_a_touched_file_is_hashed_again_and_alone_and_the_key_stays(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_project(tmp_path / "one")
    before = keys(read_resolved(recipe, store))
    hashed = count_hashed(monkeypatch)
    os.utime(tmp_path / "one/wavs/ann/1.flac", (1, 1))
    assert set(keys(resolve(read_recipe(recipe), store))).isdisjoint(before)
    assert keys(read_resolved(recipe, store)) == before
    assert hashed == ["1.flac"]


@pytest.mark.parametrize("change", ["add", "remove", "rename", "edit", "edit with the old times", "text"])
def test_another_content_is_another_corpus(tmp_path: Path, store: Store, change: str) -> None:
    recipe = write_project(tmp_path / "one")
    before = keys(read_resolved(recipe, store))
    path = tmp_path / "one/wavs/ann/1.flac"
    times = path.stat()
    if change == "add":
        soundfile.write(path.with_name("new.flac"), tone(0.5, 999), 16000)
    elif change == "remove":
        path.unlink()
    elif change == "rename":
        path.rename(path.with_name("33.flac"))
    elif change == "text":
        (tmp_path / "one/wavs/notes.txt").write_text("of a table that the layout may read")
    else:
        blob = bytearray(path.read_bytes())
        blob[-1] ^= 1
        path.write_bytes(blob)
        if "times" in change:
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert set(keys(read_resolved(recipe, store))).isdisjoint(before)


def test_hidden_files_and_the_order_of_the_disk_do_not_matter(tmp_path: Path) -> None:
    first, second = grow(tmp_path / "a"), tmp_path / "b"
    for speaker in sorted((path.name for path in first.iterdir()), reverse=True):
        shutil.copytree(first / speaker, second / speaker)
    (second / ".DS_Store").write_text("of a file browser")
    assert read_contents(first, None, stall_seconds=0).digest == read_contents(second, None, stall_seconds=0).digest


def test_a_digest_is_what_the_docs_say(tmp_path: Path) -> None:
    import hashlib

    (tmp_path / "b").mkdir()
    (tmp_path / "b/ü.wav").write_bytes(b"12")
    (tmp_path / "a.txt").write_bytes(b"")
    lines = b"".join(
        name.encode() + b"\0%d %s\n" % (len(blob), hashlib.sha256(blob).hexdigest().encode())
        for name, blob in (("a.txt", b""), ("b/ü.wav", b"12"))
    )
    assert read_contents(tmp_path, None, stall_seconds=0).digest == hashlib.sha256(lines).hexdigest()


def test_names_that_are_no_text_count(tmp_path: Path) -> None:
    folder = tmp_path / "wavs"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.wav")).write_bytes(b"1")
    cache = Cache.of(tmp_path / "store", folder)
    found = read_contents(folder, cache, stall_seconds=0)
    assert find_contents(folder, cache) == found


def test_a_cache_that_is_damaged_is_made_again(tmp_path: Path) -> None:
    folder = grow(tmp_path / "wavs")
    cache = Cache.of(tmp_path / "store", folder)
    found = read_contents(folder, cache, stall_seconds=0)
    cache.path.write_bytes(cache.path.read_bytes()[:100])
    assert find_contents(folder, cache) is None
    assert read_contents(folder, cache, stall_seconds=0) == found


def test_a_file_that_changes_while_the_folder_is_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = grow(tmp_path / "wavs", ["ann"])
    original = hashing_module.hash_pieces

    def hash_pieces(path: Path) -> Iterator[str]:
        yield from original(path)
        if path.name == "2.flac":
            path.write_bytes(b"recorded further")

    monkeypatch.setattr(hashing_module, "hash_pieces", hash_pieces)
    with pytest.raises(BadDataError, match=r"FILE_CHANGED: it was written.*ann/2\.flac; run again"):
        read_contents(folder, None, stall_seconds=0)


def test_a_folder_that_changes_before_its_corpus_is_made_is_an_error(tmp_path: Path, store: Store) -> None:
    recipe = read_resolved(write_project(tmp_path / "one"), store)
    soundfile.write(tmp_path / "one/wavs/ann/new.flac", tone(0.5, 999), 16000)
    with pytest.raises(BadDataError, match="FOLDER_CHANGED: the folder of voices has the content"):
        make_both(recipe, store)


def test_a_pinned_content_that_is_not_there_is_an_error_that_says_both(tmp_path: Path, store: Store) -> None:
    path = write_project(tmp_path / "one")
    found = corpus_and_shards(read_resolved(path, store))[0].spec.folder
    assert found is not None
    spec = path.parents[1] / "corpora/voices.yaml"
    spec.write_text(spec.read_text().replace("wavs}", f"wavs, content: {found.content}}}"))
    assert keys(read_resolved(path, store)) == keys(resolve(read_recipe(path), store))
    (tmp_path / "one/wavs/ann/1.flac").unlink()
    with pytest.raises(BadDataError, match=rf"FOLDER_CHANGED.*[0-9a-f]{{64}}, expected {found.content}"):
        read_resolved(path, store)
    shutil.rmtree(tmp_path / "one/wavs")  # what was made of it can still be used
    assert corpus_and_shards(read_resolved(path, store))[0].is_known


def test_a_missing_folder_is_unknown_to_plan_and_an_error_of_a_run(tmp_path: Path, store: Store) -> None:
    path = write_project(tmp_path / "one")
    shutil.rmtree(tmp_path / "one/wavs")
    assert not corpus_and_shards(resolve(read_recipe(path), store))[0].is_known
    with pytest.raises(UsageError, match="FOLDER_MISSING: the folder of voices does not exist"):
        read_resolved(path, store)


@pytest.mark.parametrize("place", ["one/wavs", "one/wavs/store", "one", "."])
def test_a_store_and_a_folder_that_lie_in_each_other_are_refused(tmp_path: Path, place: str) -> None:
    path = write_project(tmp_path / "one")
    with pytest.raises(UsageError, match=r"FOLDER_STORE.*--store"):
        resolve(read_recipe(path), Store(tmp_path / place))


def test_old_specs_with_a_revision_are_read_and_it_is_no_identity(tmp_path: Path, store: Store) -> None:
    path = write_project(tmp_path / "one")
    before = keys(read_resolved(path, store))
    spec = path.parents[1] / "corpora/voices.yaml"
    spec.write_text(spec.read_text().replace("wavs}", 'wavs, revision: "2024-05"}'))
    assert keys(read_resolved(path, store)) == before


def test_the_manifest_has_the_digests_of_the_list_and_no_file_is_hashed_twice(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_resolved(write_project(tmp_path / "one"), store)
    hashed = count_hashed(monkeypatch)
    corpus, _ = make_both(recipe, store)
    assert hashed == []
    for row in read_manifest(store.path(corpus)):
        assert row.sha256 == sha256_of(tmp_path / "one/wavs" / row.path)


def test_a_file_that_gives_no_data_ends_the_run_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = grow(tmp_path / "wavs", ["ann"], clips=2)
    monkeypatch.setattr(hashing_module, "hash_pieces", hang)
    with pytest.raises(CodedError, match=r"STORAGE_STALLED: no data for 0\.2 s of a file; at .*\.flac; check the disk"):
        read_contents(folder, None, stall_seconds=0.2)


def hang(path: Path) -> Iterator[str]:
    """As reading from a mount whose server is gone."""
    time.sleep(600)
    yield str(path)
