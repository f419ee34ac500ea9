"""People reported: a stage that ended between its record and its folder's name ended with CHECKSUM ever after.

Its folder, which is under way again, was listed as complete and compared with the record of the attempt before. And
while somebody used what was to be replaced, hours of work were done again and again in vain.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

from flows.cli.inventory import list_complete, list_totals
from tests.pipeline.test_store import corpus, data_in, make_chain, shards, write
from wavlm.errors import LockedError
from wavlm.pipeline.store import Store
from wavlm.storage.facts import Facts
from wavlm.storage.seals import check_sealed
from wavlm.storage.use_locks import hold_in_use


class Killed(BaseException):
    """Stands for a signal."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with a corpus, and shards that were killed when their record was there and their name was not."""
    store = Store(tmp_path / "store")
    store.make(corpus(), write("words"))

    def kill(folder: Path, target: Path) -> NoReturn:
        raise Killed(f"{folder} {target}")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", kill)
        with pytest.raises(Killed):
            store.make(shards(corpus()), write("first"))
    assert (store.partial_folder(shards(corpus())) / "artifact.json").is_file()
    return store


def test_a_folder_under_way_is_never_listed_as_complete(store: Store) -> None:
    assert list(store.folders()) == [store.path(corpus())]
    assert [item.folder for item in list_complete(store)] == [f"corpus/{store.path(corpus()).name}"]
    assert {item.place: item.num_items for item in list_totals(store)}["unfinished"] == 1
    assert store.explain(shards(corpus("2"))) is None  # no sibling to be compared with


def test_the_next_attempt_reads_its_own_files_and_completes(store: Store) -> None:
    def again(out: Path) -> Facts:
        data_in(out).write_text("second")
        check_sealed(data_in(out))  # as readers of labels and networks do
        return Facts()

    assert data_in(store.make(shards(corpus()), again)).read_text() == "second"


def test_what_nobody_knows_the_inputs_of_is_not_continued(store: Store) -> None:
    partial = store.partial_folder(shards(corpus()))
    (partial / "rejects.parquet").write_text("of whatever corpus")
    (partial / "seal.json").unlink()
    assert not (store.make(shards(corpus()), write("second")) / "rejects.parquet").exists()


def test_nothing_is_made_while_somebody_uses_what_it_replaces(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    first, second, _ = make_chain(store)
    store.redo(first)
    store.make(first, write("other words"))
    use = store.root / "locks" / f"shards-{second.key}.use"
    with hold_in_use([use]), pytest.raises(LockedError, match=rf"in use by process {os.getpid()} on "):
        store.make(second, lambda _: pytest.fail("in vain: it cannot be put there"))
    tried: list[bool] = []

    def look(out: Path) -> Facts:
        with pytest.raises(LockedError), hold_in_use([use]):
            pass
        tried.append(True)
        return write("new words")(out)

    assert data_in(store.make(second, look)).read_text() == "new words"
    assert tried
