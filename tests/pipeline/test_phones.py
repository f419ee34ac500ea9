"""Who looks for phones reads a corpus unless its facts say that it has no phones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.conftest import CORPUS, recipe_of
from wavlm.pipeline.artifacts import Shards
from wavlm.pipeline.plan import plan
from wavlm.pipeline.results import folders_with_phones
from wavlm.pipeline.store import Store


@pytest.mark.parametrize(("with_phones", "is_read"), [(None, True), (0, False), (1, True)])
def test_a_corpus_is_left_out_only_if_its_facts_say_that_it_has_no_phones(
    with_phones: int | None, is_read: bool, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    shards = next(item for item in plan(recipe_of(None)) if isinstance(item, Shards))
    if with_phones is not None:
        store.make(shards.corpus, lambda _: CORPUS.model_copy(update={"with_phones": with_phones}))
    assert bool(folders_with_phones([shards], store)) == is_read
