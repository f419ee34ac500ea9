"""Kind: a folder is looked at again and again for one answer. A corpus of a million files takes a minute each time."""

from __future__ import annotations

from contextvars import Context
from pathlib import Path

import pytest

from flows.cli.plan import plan_table
from flows.ready import check_ready
from tests.folders import add_speakers, read_resolved, write_project
from wavlm.corpus import contents
from wavlm.errors import BadDataError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.grow import grow
from wavlm.pipeline.one_look import one_look
from wavlm.pipeline.resolve import corpora_of, known_contents, read_folders, resolve, unknown_corpora
from wavlm.pipeline.store import Store
from wavlm.specs.yaml import read_recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_project(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every folder whose files are looked at for their states, as often as that happens."""
    found: list[Path] = []
    walk = contents.walk
    monkeypatch.setattr(contents, "walk", lambda folder: found.append(folder) or walk(folder))
    return found


def test_a_generation_takes_one_look_to_name_it_and_one_to_make_it(
    tmp_path: Path, recipe: Path, store: Store, looks: list[Path]
) -> None:
    (spec,) = corpora_of(read_recipe(recipe))
    grow(spec, store, stall_seconds=0)
    assert len(looks) == 2
    add_speakers(tmp_path / "wavs", ["dan"])
    looks.clear()
    found = grow(spec, store, stall_seconds=0)
    assert found
    assert found.latest == 2
    assert len(looks) == 2


def test_what_a_command_asks_before_it_works_takes_one_look(recipe: Path, store: Store, looks: list[Path]) -> None:
    with one_look():
        check_ready(str(recipe), store, Runtime())
        assert unknown_corpora(resolve(read_recipe(recipe), store)) == ("voices",)
        assert len(looks) == 1
        read_resolved(recipe, store)
        assert not unknown_corpora(resolve(read_recipe(recipe), store))
        check_ready(str(recipe), store, Runtime())
        assert len(looks) == 2
    looks.clear()
    read_resolved(recipe, store)
    assert len(looks) == 1
    plan_table(recipe, store)
    assert len(looks) == 2


def test_files_that_somebody_else_has_hashed_meanwhile_are_known(recipe: Path, store: Store) -> None:
    with one_look():
        assert unknown_corpora(resolve(read_recipe(recipe), store)) == ("voices",)
        Context().run(read_folders, read_recipe(recipe), store, stall_seconds=0)  # where this block does not reach
        assert not unknown_corpora(resolve(read_recipe(recipe), store))


def test_after_the_block_and_where_files_are_read_a_folder_is_what_it_is_now(
    tmp_path: Path, recipe: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (spec,) = corpora_of(read_recipe(recipe))
    with one_look():
        before = read_resolved(recipe, store)
        add_speakers(tmp_path / "wavs", ["dan"])
        assert resolve(read_recipe(recipe), store) == before
        with one_look():  # of a function that is called, which shares what is known
            assert resolve(read_recipe(recipe), store) == before
    assert unknown_corpora(resolve(read_recipe(recipe), store)) == ("voices",)
    with one_look():
        read_resolved(recipe, store)
        add_speakers(tmp_path / "wavs", ["eve"])
        with pytest.raises(BadDataError, match="FOLDER_CHANGED"):
            grow(spec, store, stall_seconds=0)


def test_nobody_changes_what_others_go_by(recipe: Path, store: Store) -> None:
    (spec,) = corpora_of(read_resolved(recipe, store))
    with one_look():
        found = known_contents(spec, store)
        assert found is known_contents(spec, store)
        with pytest.raises(TypeError):
            found.sha256s["x"] = "y"  # type: ignore[index, union-attr]
    assert found == known_contents(spec, store)
