"""The schema for editors: one mistake is one error at its place, and it accepts what the models accept."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from pydantic import BaseModel, TypeAdapter
from ruamel.yaml import YAML

from wavlm.execution.runtime import Runtime
from wavlm.specs import CorpusSpec
from wavlm.specs.schema import FILES, json_schema
from wavlm.specs.yaml import read_corpus

SPECS = Path(__file__).parents[2] / "data_specs"
SCHEMA = json_schema()
VALIDATOR = Draft7Validator(SCHEMA)
# One file of each kind of mapping that recipes, corpora, mixes and networks have.
FILES_TRIED = [
    "corpora/asterisk-en.yaml", "corpora/librispeech-100.yaml", "mixes/robust.yaml", "networks/tiny.yaml",
    "recipes/demo.yaml", "recipes/demo-base.yaml",
]  # fmt: skip


def load(name: str) -> Any:
    return YAML(typ="safe").load((SPECS / name).read_text())


def mappings(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all mappings in a value."""
    if isinstance(value, dict):
        yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from mappings(item, (*place, key))


def at(value: Any, place: tuple[Any, ...]) -> Any:
    for part in place:
        value = value[part]
    return value


@pytest.mark.parametrize("name", [name for name in FILES_TRIED if (SPECS / name).exists()])
def test_one_mistyped_field_is_one_error_at_its_mapping(name: str) -> None:
    found = load(name)
    assert not list(VALIDATOR.iter_errors(found))
    for place in mappings(found):
        for field in at(found, place):
            if field in ("type", "preset"):  # they decide on the fields beside them
                continue
            wrong = copy.deepcopy(found)
            at(wrong, place)[f"{field}x"] = at(wrong, place).pop(field)
            errors = list(VALIDATOR.iter_errors(wrong))
            assert len(errors) == 1, (place, field, errors)
            assert list(errors[0].absolute_path) == list(place)
            assert f"'{field}x' was unexpected" in errors[0].message


@pytest.mark.parametrize("name", [name for name in FILES_TRIED if (SPECS / name).exists()])
def test_one_wrong_value_is_one_error_at_its_field(name: str) -> None:
    found = load(name)
    for place in mappings(found):
        for field in at(found, place):
            if field in ("description", "homepage", "license", "citation"):
                continue
            wrong = copy.deepcopy(found)
            at(wrong, place)[field] = {"no": "such thing"} if field != "network" else 5
            errors = list(VALIDATOR.iter_errors(wrong))
            assert [list(error.absolute_path) for error in errors] == [[*place, field]], (place, field, errors)


def test_a_wrong_or_missing_type_is_one_error_that_lists_the_types() -> None:
    corpus = load("corpora/asterisk-en.yaml")
    corpus["sources"][0]["type"] = "ftp"
    (error,) = VALIDATOR.iter_errors(corpus)
    assert list(error.absolute_path) == ["sources", 0, "type"]
    assert {"https", "apt", "made", "folder"} == set(error.validator_value)
    del corpus["sources"][0]["type"]
    (error,) = VALIDATOR.iter_errors(corpus)
    assert list(error.absolute_path) == ["sources", 0]
    assert "'type' is a required property" in error.message


def test_null_is_allowed_where_a_field_may_be_left_out_and_only_there() -> None:
    recipe = load("recipes/demo.yaml")
    for field in ("noise_shards", "mixtures", "probe"):
        assert VALIDATOR.is_valid({**recipe, field: None})
    assert not VALIDATOR.is_valid({**recipe, "shards": None})


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({"channels": "each"}, True), ({"channels": 2}, True), ({"channels": 0}, False), ({"channels": "left"}, False),
        ({"valid_rule": {"by": "speakers", "below": 0.1}}, True), ({"valid_rule": {"by": "x", "below": 0.1}}, False),
        ({"valid_rule": None}, True), ({"expected_hours": -1}, False), ({"name": "A"}, False),
    ],
)  # fmt: skip
def test_the_schema_and_the_model_agree(change: dict[str, object], valid: bool) -> None:
    fields = load("corpora/asterisk-en.yaml") | change
    assert VALIDATOR.is_valid(fields) == valid
    try:
        TypeAdapter(CorpusSpec).validate_json(json.dumps(fields))
    except ValueError:
        assert not valid
    else:
        assert valid
    assert read_corpus(SPECS / "corpora" / "asterisk-en.yaml").name == "asterisk-en"


def test_the_schema_is_one_of_draft_7_and_of_newer_drafts() -> None:
    Draft7Validator.check_schema(SCHEMA)
    Draft202012Validator.check_schema({**SCHEMA, "$schema": "https://json-schema.org/draft/2020-12/schema"})
    assert '"oneOf"' not in json.dumps(SCHEMA)


def models_below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        yield from _in_annotation(field.annotation)


def _in_annotation(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from models_below(annotation)
    for argument in get_args(annotation):
        yield from _in_annotation(argument)


ALL = {model for root in (*FILES.values(), Runtime) for model in models_below(root)}


@pytest.mark.parametrize("model", sorted(ALL, key=lambda model: model.__name__), ids=lambda model: model.__name__)
def test_every_field_of_every_spec_is_described(model: type[BaseModel]) -> None:
    assert model.__doc__
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.description.splitlines()[0].rstrip().endswith((".", ":", ",")) or "\n" in field.description, name


def test_every_field_in_the_schema_is_described() -> None:
    for name, definition in SCHEMA["$defs"].items():
        assert definition["description"], name
        for field, schema in definition.get("properties", {}).items():
            assert schema.get("description"), f"{name}.{field}"


@pytest.mark.parametrize("path", sorted(SPECS.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_shipped_file_names_the_schema_for_editors(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=../schema.json"
