"""Sources of labels in a recipe: k-means without a type, and what the other types make of plan and keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from wavlm.pipeline.cost import cost
from wavlm.pipeline.plan import models, plan
from wavlm.specs import CodebookSpec, IterationSpec, Recipe
from wavlm.specs.expand import dump
from wavlm.specs.identity import canonical
from wavlm.specs.schema import json_schema
from wavlm.specs.tree import RecipeError
from wavlm.specs.yaml import read_recipe

DEMO = Path(__file__).parents[2] / "data_specs" / "recipes" / "demo.yaml"
EXTERNAL = {"type": "external", "file": "/data/a.npz", "sha256": "0" * 64, "num_clusters": 41, "num_streams": 2}
SUMMED = {"type": "multi_codebook", "features": {"type": "hidden", "layer": 2}, "num_clusters": 16, "num_streams": 4}


def recipe_with(number: int, codebook: dict[str, Any]) -> Recipe:
    """The demo with another codebook in one iteration."""
    fields: Any = dump(read_recipe(DEMO))
    fields["iterations"][number]["codebook"] = codebook
    return Recipe.model_validate_json(json.dumps(fields))


def test_a_codebook_without_a_type_is_k_means_and_its_identity_does_not_say_so() -> None:
    spec = read_recipe(DEMO).iterations[0].codebook
    assert isinstance(spec, CodebookSpec)
    assert set(canonical(spec)) == {"features", "num_clusters", "sample_frames_per_cluster", "frames_per_utterance"}
    fields = {**read_recipe(DEMO).iterations[0].model_dump(), "codebook": canonical(spec)}
    assert IterationSpec.model_validate(fields, strict=False).codebook == spec


@pytest.mark.parametrize(
    ("number", "codebook", "name"),
    [
        (0, {"type": "random_projection"}, "random-projection-logmel-k8192"),
        (0, {"type": "random_projection", "num_streams": 3, "num_clusters": 64}, "random-projection-logmel-k3x64"),
        (0, {"features": {"type": "log_mel"}, "num_clusters": 50}, "logmel-k50"),
        (0, EXTERNAL, "external-afile-k2x41"),
        (1, SUMMED, "multi-codebook-layer2-k4x16"),
    ],
)
def test_each_source_can_be_planned_and_costed(number: int, codebook: dict[str, Any], name: str) -> None:
    recipe = recipe_with(number, codebook)
    model = models(plan(recipe))[number]
    assert model.codebook is not None
    assert model.codebook.name == name
    assert {item.codebook for item in model.labels} == {model.codebook}
    assert (model.codebook.teacher is None) == (number == 0)
    assert bool(model.codebook.shards) == (codebook.get("type") != "external")
    parameters = cost(recipe).parameters[number]
    heads = (128 + 1 + recipe.iterations[number].codebook.num_clusters) * model.network.projection_width
    assert (
        parameters - cost(read_recipe(DEMO)).parameters[number]
        == heads * (recipe.iterations[number].codebook.num_streams) - (128 + 1 + 100) * model.network.projection_width
    )


def test_the_place_of_a_file_is_no_part_of_a_key_and_its_content_is() -> None:
    keys = [
        models(plan(recipe_with(0, {**EXTERNAL, **changes})))[0].key
        for changes in ({}, {"file": "/elsewhere.npz"}, {"sha256": "1" * 64}, {"rate_hz": 100})
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_relative_file_starts_at_the_folder_of_the_recipe(tmp_path: Path) -> None:
    text = DEMO.read_text()
    begin = text.index("codebook:")
    end = text.index("    network:", begin)
    codebook = f"codebook: {{type: external, file: mine/a.npz, sha256: '{'0' * 64}', num_clusters: 5}}\n"
    (tmp_path / "demo.yaml").write_text(text[:begin] + codebook + text[end:])
    assert read_recipe(tmp_path / "demo.yaml").iterations[0].codebook.file == str(tmp_path / "mine" / "a.npz")  # type: ignore[union-attr]


def test_an_unknown_type_and_a_field_of_another_type_are_named(tmp_path: Path) -> None:
    text = DEMO.read_text()
    begin = text.index("codebook:")
    end = text.index("    network:", begin)
    for codebook, message in (
        ("{type: random_projektion}", "did you mean random_projection"),
        ("{type: random_projection, redo: 3}", "there is no field 'redo'"),
        ("{type: external, num_clusters: 5}", "the field 'file' is required"),
    ):
        (tmp_path / "demo.yaml").write_text(f"{text[:begin]}codebook: {codebook}\n{text[end:]}")
        with pytest.raises(RecipeError, match=message):
            read_recipe(tmp_path / "demo.yaml")


@pytest.mark.parametrize(
    ("codebook", "fits"),
    [
        ({"features": {"type": "mfcc"}, "num_clusters": 5}, True),
        ({"type": "kmeans", "features": {"type": "mfcc"}, "num_clusters": 5}, True),
        ({"type": "random_projection"}, True),
        (EXTERNAL, True),
        ({"num_clusters": 5}, False),
        ({"type": "random_projection", "redo": 3}, False),
        ({"type": "other"}, False),
    ],
)
def test_the_schema_follows_the_type(codebook: dict[str, Any], fits: bool) -> None:
    schema = json_schema()
    place = schema["$defs"]["IterationSpec"]["properties"]["codebook"]
    assert Draft7Validator({**place, "$defs": schema["$defs"]}).is_valid(codebook) == fits
