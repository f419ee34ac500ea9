"""Fetches that did not end: house-keeping finds those that nobody goes on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.cli.inventory import list_under_way
from tests.folders import read_resolved, write_project
from tests.tasks.conftest import build
from wavlm.pipeline.artifacts import Artifact
from wavlm.pipeline.garbage import kept
from wavlm.pipeline.garbage.delete import delete_item
from wavlm.pipeline.garbage.find import find_garbage
from wavlm.pipeline.garbage.kept import find_kept
from wavlm.pipeline.garbage.notes import find_notes, forget, remember
from wavlm.pipeline.mirror.entry import read_entry
from wavlm.pipeline.mirror.fetch import fetch
from wavlm.pipeline.mirror.push import push
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.storage.elsewhere import Elsewhere
from wavlm.storage.locks import hold_lock
from wavlm.storage.mirror.mirror import Mirror


class Begun:
    """A store into which a corpus that a recipe wants was being fetched when the fetch was stopped."""

    def __init__(self, folder: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.recipe, first = write_project(folder), Store(folder / "first")
        self.corpus: Artifact = plan(read_resolved(self.recipe, first))[0]
        first.make(self.corpus, lambda out: build(self.corpus, first, out))
        self.store = Store(folder / "second")
        read_resolved(self.recipe, self.store)
        remember(self.recipe, self.store, plan(read_resolved(self.recipe, self.store)))
        with Mirror(address) as mirror, monkeypatch.context() as patch:
            push(first.path(self.corpus), mirror)
            patch.setattr("wavlm.pipeline.mirror.fetch.transfer_all", self._stop)
            with pytest.raises(KeyboardInterrupt):
                self.fetch(mirror)
            patch.undo()
            self.finish: Callable[[], Path] = lambda: self.fetch(Mirror(address))
        self.folder = self.store.root / "fetches" / f"corpus-{self.corpus.key}"
        assert self.folder.is_dir()

    @staticmethod
    def _stop(*_: Any) -> int:
        raise KeyboardInterrupt

    def fetch(self, mirror: Mirror) -> Path:
        entry = read_entry(mirror, "corpus", self.corpus.key)
        assert entry
        return fetch(entry, mirror, self.store.root, Elsewhere(mirror=mirror.address))

    def find(self) -> tuple[list[str], list[str]]:
        """What is found, and what is said to stay."""
        items, remarks = find_garbage(self.store, find_kept(self.store, (), lambda _: True))
        self.items = items
        return [f"{item.path.name}: {item.why}" for item in items], [line for line in remarks if "fetches" in line]


@pytest.fixture
def begun(folder_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begun:
    monkeypatch.setattr(kept, "names_in", lambda _: [])  # shipped recipes take seconds to read
    return Begun(tmp_path, folder_address, monkeypatch)


def test_a_fetch_of_what_a_recipe_wants_is_gone_on_with(begun: Begun) -> None:
    assert begun.find() == ([], [f"fetches/{begun.folder.name} stays: recipe small continues it"])
    (line,) = list_under_way(begun.store)
    assert line == f"{begun.folder.name}: begun to be fetched; the next fetch continues it"
    begun.finish()
    assert begun.find() == ([], [])


def test_a_fetch_that_no_recipe_wants_goes_unless_somebody_works_on_it(begun: Begun) -> None:
    for note in find_notes(begun.store, [begun.recipe]):
        forget(note, begun.store)
    lock = begun.store.root / "locks" / f"{begun.folder.name}.lock"
    with hold_lock(lock, "a fetch"):
        found, remarks = begun.find()
        assert found == []
        assert "works on it" in remarks[0]
    assert begun.find()[0] == [f"{begun.folder.name}: no kept recipe fetches it"]
    (item,) = begun.items
    assert item.num_bytes > 0
    with hold_lock(lock, "a fetch"):
        assert delete_item(item, begun.store, find_kept(begun.store, (), lambda _: True)) is not None
    assert begun.folder.is_dir()
    assert delete_item(item, begun.store, find_kept(begun.store, (), lambda _: True)) is None
    assert not begun.folder.exists()
    begun.finish()


def test_a_fetch_of_what_was_made_here_meanwhile_goes(begun: Begun) -> None:
    begun.store.make(begun.corpus, lambda out: build(begun.corpus, begun.store, out))
    assert begun.find()[0] == [f"{begun.folder.name}: what was fetched is complete by now"]
