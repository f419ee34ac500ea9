"""The flow of one stage, by itself."""

import shutil
from pathlib import Path

import pytest

from flows.stage import stage
from tests.folders import read_resolved
from tests.tasks.conftest import build
from wavlm.errors import BadDataError
from wavlm.pipeline.plan import plan
from wavlm.pipeline.selection import select
from wavlm.pipeline.store import Store


def test_what_cannot_be_made_again_is_not_moved_to_the_trash(tiny_recipe: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    artifacts = plan(read_resolved(tiny_recipe, store))
    (corpus,), (shards,) = select(artifacts, "corpus"), select(artifacts, "shards")
    for artifact in (corpus, shards):
        store.make(artifact, lambda out, item=artifact: build(item, store, out))
    shutil.rmtree(store.path(corpus))
    with pytest.raises(BadDataError, match="INPUT_MISSING: corpus/tiny-speech-"):
        stage.fn("shards", str(tiny_recipe), store=str(store.root), redo=True)
    assert store.is_complete(shards)
