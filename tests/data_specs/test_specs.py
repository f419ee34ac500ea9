"""The shipped specs are valid, can be planned, and keep their keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from tests.data_specs.golden import KEYS, SCHEMA, SPECS, golden_keys
from wavlm.pipeline.artifacts import Corpus
from wavlm.pipeline.plan import models, plan
from wavlm.specs import FolderSource
from wavlm.specs.schema import FILES, json_schema
from wavlm.specs.shapes import num_parameters
from wavlm.specs.yaml import read_corpus, read_mix, read_network, read_recipe


@pytest.mark.parametrize("path", sorted((SPECS / "corpora").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_corpus_has_license_citation_and_homepage(path: Path) -> None:
    corpus = read_corpus(path)
    assert corpus.license
    assert corpus.citation
    assert corpus.homepage


@pytest.mark.parametrize("path", sorted((SPECS / "mixes").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_mix_can_be_read(path: Path) -> None:
    assert read_mix(path).name == path.stem


@pytest.mark.parametrize(("name", "parameters"), [("base", 94_381_936), ("large", 315_453_120)])
def test_base_and_large_have_as_many_parameters_as_the_released_models(name: str, parameters: int) -> None:
    network = read_network(SPECS / "networks" / f"{name}.yaml")
    head = (network.width + 1 + 100) * network.projection_width  # projection with bias, one row per cluster
    assert num_parameters(network, num_clusters=100) - head == parameters  # docs/algorithm.md section 1


@pytest.mark.parametrize("path", sorted((SPECS / "networks").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_network_can_be_read(path: Path) -> None:
    assert read_network(path).num_layers


def test_keys_of_the_shipped_recipes_are_pinned() -> None:
    """If a key changes and its recipe does not, a default or the digest has changed.

    Change golden_keys.json only together with a recipe, a corpus, a mix, a network or the number `format`.
    """
    assert golden_keys() == json.loads(KEYS.read_text()), "if this is wanted: `make golden`"


@pytest.mark.parametrize("name", ["wavlm-base", "wavlm-base-plus", "wavlm-large", "wavlm-xlarge"])
def test_paper_recipes_end_in_a_mixed_model_with_gated_bias_and_504_rows(name: str) -> None:
    recipe = read_recipe(SPECS / "recipes" / f"{name}.yaml")
    last = models(plan(recipe))[-1]
    assert last.network.gated_bias
    assert last.mix is not None
    assert last.mix.probability == 0.2
    rows = last.labels[0].codebook.spec.num_clusters + last.network.special_symbols
    assert rows == 504
    assert last.train.max_crop_seconds == 15.625


def test_the_hubert_recipe_has_no_mixing_and_no_gated_bias() -> None:
    for model in models(plan(read_recipe(SPECS / "recipes" / "hubert-base.yaml"))):
        assert model.mix is None
        assert not model.network.gated_bias


def test_the_demo_downloads_less_than_260_mb() -> None:
    corpora = [item.spec for item in plan(read_recipe(SPECS / "recipes" / "demo.yaml")) if isinstance(item, Corpus)]
    sources = {source for corpus in corpora for source in corpus.sources}  # two of them read one package
    sizes = [source.size_bytes or 0 for source in sources if not isinstance(source, FolderSource)]
    assert len(sizes) == len(corpora) - 1
    assert all(sizes)
    assert sum(sizes) < 260e6


def test_the_demo_is_evaluated_on_four_tasks_with_overlapped_speech_that_it_is_not_trained_on() -> None:
    recipe = read_recipe(SPECS / "recipes" / "demo.yaml")
    assert recipe.evaluate is not None
    tasks = {item.task.type: item for item in recipe.evaluate.evaluations}
    assert {"ks", "qbe", "sid", "sd"} <= tasks.keys()
    assert {item.type for item in recipe.evaluate.baselines} == {"fbank", "random"}
    trained = {source for corpus in (*recipe.speech, *recipe.noise) for source in corpus.sources}
    heard = {source for item in tasks.values() for corpus in item.corpora for source in corpus.sources}
    assert heard.isdisjoint(trained)


def test_the_committed_schema_equals_the_one_of_the_models() -> None:
    assert json.loads(SCHEMA.read_text()) == json_schema(), "run `make golden`"


@pytest.mark.parametrize("path", sorted(SPECS.glob("*/*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_shipped_file_fits_the_schema(path: Path) -> None:
    assert validator(FILES[path.parent.name].__name__).is_valid(load(path))
    assert Draft7Validator(json.loads(SCHEMA.read_text())).is_valid(load(path))


@pytest.mark.parametrize(
    ("network", "valid"),
    [
        ("base", True),
        ({"preset": "base"}, True),
        ({"preset": "base", "gated_bias": False, "conv_layers": [{"channels": 8, "kernel": 2, "stride": 2}]}, True),
        ({"preset": "base", "widht": 64}, False),
        ({"preset": "base", "width": 0}, False),
        ({"preset": "Base!"}, False),
        ({"width": 64}, False),
        (5, False),
    ],
)
def test_the_schema_accepts_a_network_by_name_by_preset_or_written_out(network: object, valid: bool) -> None:
    recipe = load(SPECS / "recipes" / "demo-base.yaml")
    recipe["iterations"][0]["network"] = network
    assert validator("Recipe").is_valid(recipe) == valid
    recipe["iterations"][0]["network"] = load(SPECS / "networks" / "base.yaml")
    assert validator("Recipe").is_valid(recipe)


def validator(definition: str) -> Draft7Validator:
    """Checks a value against one definition of the schema for editors."""
    definitions = json.loads(SCHEMA.read_text())["$defs"]
    return Draft7Validator({"$ref": f"#/$defs/{definition}", "$defs": definitions})


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(path.read_text())
    return loaded
