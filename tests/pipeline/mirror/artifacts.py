"""A store with a corpus and its shards, of a few small files each."""

from __future__ import annotations

from pathlib import Path

from tests.pipeline.test_store import corpus, shards
from wavlm.pipeline.artifacts import Corpus, Shards
from wavlm.pipeline.store import Store
from wavlm.storage.facts import Facts

FILES = {
    "corpus": {
        "manifest.parquet": b"rows",
        "audio/ann/one.flac": b"sound" * 1000,
        "audio/bob/two.flac": b"noise" * 1000,
    },
    "shards": {"index.parquet": b"index", "train-000000.tar": b"tar" * 5000, "train-000001.tar": b"bar" * 5000},
}


def make_store(folder: Path, words: str = "") -> tuple[Store, Corpus, Shards]:
    """The store and both artifacts. Other words make other bytes under the same keys, as another machine may."""
    store = Store(folder)
    made = corpus()
    packed = shards(made)
    for artifact in (made, packed):
        store.make(artifact, lambda out, item=artifact: fill_folder(out, item.kind, words))
    return store, made, packed


def fill_folder(out: Path, kind: str, words: str) -> Facts:
    for name, content in FILES[kind].items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content + words.encode())
    return Facts()


def files_in(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
