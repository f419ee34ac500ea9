"""The store keeps its promise: complete or absent, never half."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wavlm.errors import BadDataError, LockedError
from wavlm.pipeline.artifacts import Codebook, Corpus, Shards
from wavlm.pipeline.store import Store
from wavlm.pipeline.verify import verify
from wavlm.specs import CodebookSpec, CorpusSpec, FolderSource, MfccFeatures, ShardSpec
from wavlm.specs.layouts import GenericLayout
from wavlm.storage.facts import Facts
from wavlm.storage.files import read_json
from wavlm.storage.locks import hold_lock


class Counted(Facts):
    """What the stage of these tests reports."""

    files: int


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def corpus(content: str = "1") -> Corpus:
    return Corpus(
        CorpusSpec(
            name="tiny",
            role="speech",
            description="",
            homepage="",
            license="",
            citation="",
            sources=(FolderSource(type="folder", path="somewhere", content=content * 64),),
            layout=GenericLayout(type="generic"),
        )
    )


def shards(of: Corpus) -> Shards:
    return Shards(ShardSpec(min_seconds=1, max_seconds=10), of)


def data_in(folder: Path) -> Path:
    """A file that the stage of this folder makes."""
    return folder / {"corpus": "manifest.parquet", "shards": "index.parquet"}.get(folder.parent.name, "codebook.json")


def build(out: Path) -> Facts:
    data_in(out).write_text("words")
    return Counted(files=1)


def test_a_failed_build_is_absent_and_the_next_attempt_continues_in_its_folder(
    store: Store,
) -> None:
    def half(out: Path) -> Facts:
        (out / "audio").mkdir()
        (out / "audio/part-0").write_text("first part")
        raise RuntimeError("killed")

    def rest(out: Path) -> Facts:
        assert (out / "audio/part-0").read_text() == "first part"
        (out / "audio/part-1").write_text("second part")
        return Facts()

    artifact = corpus()
    with pytest.raises(RuntimeError, match="killed"):
        store.make(artifact, half)
    assert not store.is_complete(artifact)
    folder = store.make(artifact, rest)
    assert sorted(item.name for item in folder.rglob("*.*")) == ["artifact.json", "seal.json"]
    assert sorted(item.name for item in folder.glob("audio/*")) == ["part-0", "part-1"]


def test_a_complete_artifact_is_not_built_again(store: Store) -> None:
    artifact = corpus()
    store.make(artifact, build)

    def never(_: Path) -> Facts:
        raise AssertionError("built twice")

    assert store.make(artifact, never) == store.path(artifact)
    assert store.facts(artifact, Counted) == Counted(files=1)


def test_leftovers_of_killed_writers_are_not_sealed(store: Store) -> None:
    def messy(out: Path) -> Facts:
        (out / ".manifest.parquet.x1.partial").write_text("half a fi")
        return build(out)

    folder = store.make(corpus(), messy)
    assert sorted(item.name for item in folder.iterdir()) == ["artifact.json", "manifest.parquet", "seal.json"]


def test_a_missing_input_is_named(store: Store) -> None:
    artifact = shards(corpus())
    with pytest.raises(BadDataError, match=f"INPUT_MISSING: {artifact.corpus}"):
        store.make(artifact, build)


def test_redo_moves_to_the_trash_and_deletes_nothing(store: Store) -> None:
    artifact = corpus()
    store.make(artifact, build)
    moved = store.redo(artifact)
    assert moved is not None
    assert (moved / "manifest.parquet").read_text() == "words"
    assert not store.is_complete(artifact)


def test_verify_finds_changed_missing_and_added_files(store: Store) -> None:
    folder = store.make(corpus(), build)
    assert verify(folder) == []
    (folder / "manifest.parquet").write_text("wards")
    (folder / "extra.txt").write_text("")
    assert [item.path.name for item in verify(folder)] == ["manifest.parquet", "extra.txt"]
    (folder / "manifest.parquet").unlink()
    assert [item.found for item in verify(folder)][:1] == ["missing"]


def test_explain_names_the_field_that_differs_from_the_nearest_sibling(store: Store) -> None:
    store.make(corpus("1"), build)
    explained = store.explain(corpus("2"))
    assert explained is not None
    folder, differences = explained
    assert folder == store.path(corpus("1"))
    assert [item.field for item in differences] == ["spec.sources"]


def test_two_writers_of_one_artifact_are_told_apart(store: Store, tmp_path: Path) -> None:
    artifact = corpus()
    lock = store.root / "locks" / f"corpus-{artifact.key}.lock"
    with hold_lock(lock, "test"), pytest.raises(LockedError, match="process"):
        store.make(artifact, build)


def test_the_record_spells_out_the_identity(store: Store) -> None:
    artifact = corpus()
    record = read_json(store.make(artifact, build) / "artifact.json")
    assert record["identity"] == artifact.identity
    assert record["files"]["manifest.parquet"]["bytes"] == 5


def test_facts_in_another_form_are_an_error_that_names_file_and_field(store: Store) -> None:
    class Other(Facts):
        hours: float

    artifact = corpus()
    record = store.make(artifact, build) / "artifact.json"
    with pytest.raises(BadDataError, match=rf"RECORD_BROKEN: no Other (.|\n)*hours(.|\n)*{record}"):
        store.facts(artifact, Other)


def test_a_broken_record_is_an_error_that_names_the_file(store: Store) -> None:
    artifact = corpus()
    path = store.make(artifact, build) / "artifact.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(BadDataError, match=f"RECORD_BROKEN: .*{path}"):
        store.record(artifact)


# --- inputs that are made again ---


def write(text: str) -> Callable[[Path], Facts]:
    def build_text(out: Path) -> Facts:
        data_in(out).write_text(text)
        return Counted(files=1)

    return build_text


def make_chain(store: Store, text: str = "words") -> tuple[Corpus, Shards, Codebook]:
    """A corpus, its shards and a codebook on them."""
    spec = CodebookSpec(features=MfccFeatures(type="mfcc"), num_clusters=4)
    chain = (corpus(), shards(corpus()), Codebook(spec, (shards(corpus()),)))
    for artifact in chain:
        store.make(artifact, write(text))
    return chain


def test_what_was_made_from_an_input_that_was_made_again_is_complete_only_if_it_holds_the_same(store: Store) -> None:
    first, second, third = make_chain(store)
    store.redo(first)
    assert store.is_complete(second)  # an input that is gone does not matter
    store.make(first, write("words"))
    assert store.has_all((first, second, third))
    store.redo(first)
    store.make(first, write("other words"))
    assert store.is_complete(first)
    assert not store.is_complete(second)
    assert not store.is_complete(third)  # made from what has to be made again
    with pytest.raises(BadDataError, match=r"INPUT_MISSING: shards/tiny-\S+ was made from another corpus/tiny"):
        store.require(second)
    store.make(second, write("words"))
    assert store.has_all((first, second, third))  # the shards hold the same as before
    assert len(list((store.root / "trash/shards").iterdir())) == 1


def test_what_an_attempt_with_other_inputs_left_is_not_continued(store: Store) -> None:
    def fail(out: Path) -> Facts:
        (out / "rejects.parquet").write_text("of the old corpus")
        raise RuntimeError("killed")

    store.make(corpus(), write("old"))
    for _ in range(2):
        with pytest.raises(RuntimeError):
            store.make(shards(corpus()), fail)
    store.redo(corpus())
    store.make(corpus(), write("new"))
    folder = store.make(shards(corpus()), build)
    assert not (folder / "rejects.parquet").exists()


def test_verify_notices_a_seal_that_was_changed(store: Store) -> None:
    folder = store.make(corpus(), build)
    seal = folder / "seal.json"
    seal.write_text(seal.read_text().replace('"content": "', '"content": "0'))
    assert [item.path for item in verify(folder)] == [seal]
