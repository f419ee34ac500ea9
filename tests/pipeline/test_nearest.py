"""What a new artifact is compared with: the sibling that is most like it, of the same name if there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.test_store import build, corpus
from wavlm.pipeline.artifacts import Corpus, Shards
from wavlm.pipeline.store import Store
from wavlm.specs import ShardSpec


def shards(of: Corpus, **fields: float) -> Shards:
    return Shards(ShardSpec(**{"min_seconds": 1.0, "max_seconds": 10.0, **fields}), of)  # type: ignore[arg-type]


@pytest.mark.parametrize("far_first", [True, False])
def test_the_sibling_with_fewest_differences_is_the_nearest(tmp_path: Path, far_first: bool) -> None:
    store, source = Store(tmp_path), corpus()
    store.make(source, build)
    near = shards(source, min_seconds=2.0)
    far = shards(source, min_seconds=3.0, max_seconds=20.0, join_seconds=5.0)
    for item in (far, near) if far_first else (near, far):
        store.make(item, build)
    found = store.explain(shards(source))
    assert found is not None
    folder, differences = found
    assert folder == store.path(near)
    assert [(item.field, item.existing, item.wanted) for item in differences] == [("spec.min_seconds", 2.0, 1.0)]


def test_without_a_sibling_there_is_nothing_to_compare(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.make(corpus(), build)
    assert store.explain(shards(corpus())) is None
