"""`wavlm plan` says in words why something is made: its nearest relative, and what it is made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.plan import plan_table
from tests.pipeline.test_store import build, corpus, shards
from tests.tiny_specs import tiny_network, tiny_training
from wavlm.pipeline.artifacts import Artifact, Codebook, Corpus, Labels, Model, Shards
from wavlm.pipeline.relatives import explain_make
from wavlm.pipeline.store import Store
from wavlm.specs import CodebookSpec, HiddenFeatures, MfccFeatures, MixSpec, ShardSpec
from wavlm.storage.facts import Facts


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, artifact: Artifact) -> None:
    """Make an artifact of no files, after what it is made from."""
    for item in artifact.inputs:
        put(store, item)
    store.make(artifact, lambda _: Facts())


def renamed(name: str) -> Corpus:
    return Corpus(corpus().spec.model_copy(update={"name": name}))


def model(**changes: object) -> Model:
    fields = {"network": tiny_network(), "train": tiny_training(), "data": (shards(corpus()),)}
    return Model(**(fields | changes))  # type: ignore[arg-type]


def test_a_default_is_shown_by_its_value(store: Store) -> None:
    put(store, shards(corpus()))
    wanted = Shards(ShardSpec(min_seconds=1, max_seconds=10, join_seconds=8), corpus())
    assert explain_make(wanted, store, set()).endswith(": join_seconds is 0.0 (the default) there, 8.0 wanted")


def test_a_wanted_default_is_shown_by_its_value(store: Store) -> None:
    put(store, Shards(ShardSpec(min_seconds=1, max_seconds=10, join_seconds=8), corpus()))
    text = explain_make(shards(corpus()), store, set())
    assert text.endswith(": join_seconds is 8.0 there, 0.0 (the default) wanted")


def test_a_default_inside_a_spec_of_a_model_is_shown_by_its_value(store: Store) -> None:
    put(store, model())
    text = explain_make(model(train=tiny_training(clip_norm=3.0, seed=7)), store, set())
    default = type(tiny_training()).model_fields["clip_norm"].get_default()
    assert f"train.clip_norm is {default} (the default) there, 3.0 wanted" in text
    assert "train.seed is 0 (the default) there, 7 wanted" in text


def test_a_mix_is_shown_by_its_name(store: Store) -> None:
    put(store, model())
    text = explain_make(model(mix=MixSpec(name="soft", probability=0.2)), store, set())
    assert text.endswith("mix is not given there, soft wanted")


def test_a_relative_of_the_same_name_goes_before_a_nearer_one_of_another_name(store: Store) -> None:
    put(store, Shards(ShardSpec(min_seconds=3, max_seconds=11), corpus()))
    put(store, Shards(ShardSpec(min_seconds=1, max_seconds=10), renamed("other")))
    text = explain_make(shards(corpus()), store, set())
    assert text.startswith("unlike tiny-")
    assert "max_seconds is 11.0 there, 10.0 wanted; min_seconds is 3.0 there, 1.0 wanted" in text


def test_that_there_is_no_relative_of_the_name_is_said(store: Store) -> None:
    put(store, shards(renamed("other")))
    assert "(there is no other tiny)" in explain_make(shards(corpus()), store, set())
    assert explain_make(corpus(), Store(store.root / "empty"), set()) == "new: the store has no corpus yet"


def test_what_it_is_made_from_is_named_and_whether_it_is_to_be_made(store: Store) -> None:
    hidden = CodebookSpec(features=HiddenFeatures(type="hidden", layer=1), num_clusters=8)
    first = Codebook(CodebookSpec(features=MfccFeatures(type="mfcc"), num_clusters=8), (shards(corpus()),))
    put(store, Labels(first, shards(corpus())))
    second = Codebook(hidden, (shards(corpus()),), model())
    text = explain_make(Labels(second, shards(corpus())), store, {second.key})
    assert text.endswith(": made from other codebook/layer1-k8 (to be made)")
    assert "features.layer is not given there, 1 wanted" in explain_make(second, store, set())
    assert "made from other pretrain/iteration1" in explain_make(second, store, set())


def test_words_in_brackets_reach_the_terminal(store: Store, tiny_recipe_file: Path) -> None:
    """Rich takes `[tiny]` for a style; a list of names is no style."""
    put(store, Shards(ShardSpec(min_seconds=0.4, max_seconds=4.0), renamed("voices")))
    table = plan_table(tiny_recipe_file, store)
    cells = [str(cell) for column in table.columns for cell in column.cells]
    assert any("not known" in cell or "unlike" in cell or "new" in cell for cell in cells)
    assert "made" in str(table.caption) or "known" in str(table.caption)


@pytest.fixture
def tiny_recipe_file(tmp_path: Path) -> Path:
    from tests.folders import write_project

    return write_project(tmp_path / "project")


def test_a_new_file_in_a_store_is_not_made_by_explaining(store: Store) -> None:
    store.make(corpus(), build)
    before = sorted(store.root.rglob("*"))
    explain_make(corpus("2"), store, set())
    assert sorted(store.root.rglob("*")) == before
