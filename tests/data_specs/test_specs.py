"""The shipped specs are valid, plannable, and keep their keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.data_specs.golden import KEYS, SCHEMA, SPECS, golden_keys
from wavlm.pipeline.plan import models, plan
from wavlm.specs.schema import json_schema
from wavlm.specs.yaml import read_corpus, read_mix, read_recipe


@pytest.mark.parametrize("path", sorted((SPECS / "corpora").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_corpus_says_whose_it_is(path: Path) -> None:
    corpus = read_corpus(path)
    assert corpus.license
    assert corpus.citation
    assert corpus.homepage


@pytest.mark.parametrize("path", sorted((SPECS / "mixes").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_mix_can_be_read(path: Path) -> None:
    assert read_mix(path).name == path.stem


def test_keys_of_the_shipped_recipes_are_pinned() -> None:
    """A key that moves without a changed recipe means that a default or the digest changed.

    Change golden_keys.json only together with a recipe, a corpus, a mix or a bumped `format`.
    """
    assert golden_keys() == json.loads(KEYS.read_text()), "if this is wanted: `make golden`"


@pytest.mark.parametrize("name", ["wavlm-base", "wavlm-base-plus", "wavlm-large"])
def test_paper_recipes_end_in_a_mixed_model_with_gated_bias_and_504_rows(name: str) -> None:
    recipe = read_recipe(SPECS / "recipes" / f"{name}.yaml")
    last = models(plan(recipe))[-1]
    assert last.network.gated_bias
    assert last.mix is not None
    assert last.mix.probability == 0.2
    rows = last.labels[0].codebook.spec.num_clusters + last.network.special_symbols
    assert rows == 504
    assert last.train.max_crop_seconds == 15.625


def test_the_hubert_recipe_neither_mixes_nor_biases() -> None:
    for model in models(plan(read_recipe(SPECS / "recipes" / "hubert-base.yaml"))):
        assert model.mix is None
        assert not model.network.gated_bias


def test_the_demo_downloads_less_than_260_mb() -> None:
    recipe = read_recipe(SPECS / "recipes" / "demo.yaml")
    sizes = [
        source.size_bytes or 0
        for corpus in (*recipe.speech, *recipe.noise)
        for source in corpus.sources
        if source.type != "folder"
    ]
    assert all(sizes)
    assert sum(sizes) < 260e6


def test_the_schema_for_editors_is_the_one_of_the_models() -> None:
    assert json.loads(SCHEMA.read_text()) == json_schema(), "run `make golden`"
