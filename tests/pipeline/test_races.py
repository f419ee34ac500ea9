"""What another process did meanwhile, and what an attempt that was given up left, is not built upon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.pipeline.test_store import build, corpus, data_in
from wavlm.pipeline import store as store_module
from wavlm.pipeline import verify as verify_module
from wavlm.pipeline.record import read_seal
from wavlm.pipeline.store import Store
from wavlm.storage.drops import write_dropped
from wavlm.storage.facts import Facts


def test_redo_begins_without_the_parts_of_an_attempt_that_failed(tmp_path: Path) -> None:
    store, artifact = Store(tmp_path), corpus()

    def fails(out: Path) -> Facts:
        (out / "audio").mkdir()
        (out / "audio" / "part-0").write_text("of the attempt that failed")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        store.make(artifact, fails)
    moved = store.redo(artifact)
    assert moved is not None
    assert (moved / "audio" / "part-0").is_file()
    folder = store.make(artifact, build)
    assert not (folder / "audio").exists()
    assert data_in(folder).is_file()


def test_what_another_process_completed_while_the_lock_was_awaited_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, artifact = Store(tmp_path), corpus()
    hold = store_module.hold_lock

    @contextmanager
    def slow(path: Path, what: str) -> Iterator[None]:
        monkeypatch.setattr(store_module, "hold_lock", hold)
        Store(tmp_path).make(artifact, build)
        with hold(path, what):
            yield

    def never(_: Path) -> Facts:
        raise AssertionError("made twice")

    monkeypatch.setattr(store_module, "hold_lock", slow)
    folder = store.make(artifact, never)
    assert data_in(folder).read_text() == "words"


def test_a_folder_that_is_made_again_while_it_is_verified_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, artifact = Store(tmp_path), corpus()
    folder, whole = store.make(artifact, build), verify_module.hash_files

    def other(out: Path) -> Facts:
        facts = build(out)
        data_in(out).write_text("other words")
        return facts

    def slow(*arguments: object) -> object:
        """Before its files are hashed the folder is moved away, and made again with other content."""
        monkeypatch.setattr(verify_module, "hash_files", whole)
        store.redo(artifact)
        store.make(artifact, other)
        return whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(verify_module, "hash_files", slow)
    assert verify_module.verify(folder) == []
    assert data_in(folder).read_text() == "other words"
    monkeypatch.setattr(verify_module, "read_seal", lambda found: store.redo(artifact) and read_seal(found))
    assert verify_module.verify(folder) == []
    assert not folder.exists()


@pytest.mark.parametrize("moment", ["before they are looked for", "before they are hashed"])
def test_files_that_house_keeping_deletes_while_they_are_verified_are_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    folder = Store(tmp_path).make(corpus(), build)
    name = "read_dropped" if moment == "before they are looked for" else "hash_files"
    whole = getattr(verify_module, name)

    def slow(*arguments: object) -> object:
        monkeypatch.setattr(verify_module, name, whole)
        found = whole(*arguments)
        write_dropped(folder, [data_in(folder).name], 1.0)
        data_in(folder).unlink()
        return found

    monkeypatch.setattr(verify_module, name, slow)
    assert verify_module.verify(folder) == []
    assert not data_in(folder).exists()


def test_a_note_that_a_killed_house_keeping_left_is_no_damage_and_any_other_file_is(tmp_path: Path) -> None:
    folder = Store(tmp_path).make(corpus(), build)
    (folder / ".dropped.json.a1b2.partial").write_text("{")
    assert verify_module.verify(folder) == []
    (folder / ".other.json.a1b2.partial").touch()
    assert [item.path.name for item in verify_module.verify(folder)] == [".other.json.a1b2.partial"]


def test_a_record_that_is_gone_is_damage(tmp_path: Path) -> None:
    folder = Store(tmp_path).make(corpus(), build)
    (folder / "artifact.json").unlink()
    assert [item.path.name for item in verify_module.verify(folder)] == ["artifact.json"]
