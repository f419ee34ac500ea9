"""`wavlm status --sizes`: every byte of the store is in one total."""

from __future__ import annotations

from pathlib import Path

from flows.cli.inventory import list_totals
from tests.pipeline.test_store import build, corpus, shards
from wavlm.pipeline.store import Store


def test_the_totals_are_all_files_of_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.make(corpus(), build)
    store.make(shards(corpus()), build)
    store.make(shards(corpus()), build)
    store.redo(shards(corpus()))
    store.partial_folder(shards(corpus())).mkdir()
    (store.partial_folder(shards(corpus())) / "part").write_bytes(b"x" * 1000)
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "mlflow.db").write_bytes(b"x" * 2000)
    (tmp_path / "stray").write_bytes(b"x" * 300)
    (tmp_path / "link").symlink_to("/usr")
    totals = {item.place: item for item in list_totals(store)}
    assert totals["registry"].num_bytes == 2000
    assert totals["unfinished"].num_bytes == 1000
    assert totals["corpus"].num_items == 1
    assert "shards" not in totals
    files = [path for path in tmp_path.rglob("*") if path.is_symlink() or path.is_file()]
    assert sum(item.num_bytes for item in totals.values()) == sum(path.lstat().st_size for path in files)
