"""JSON schema of the YAML files in data_specs: for editors, for checks and for people who write specs by hand."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from wavlm.specs import CorpusSpec, MixSpec, Name, NetworkSpec, Recipe, Spec

FILES: dict[str, type[Spec]] = {"corpora": CorpusSpec, "mixes": MixSpec, "networks": NetworkSpec, "recipes": Recipe}
_CHANGES = "NetworkChanges"


def json_schema() -> dict[str, Any]:
    """One schema with a definition for each folder of data_specs.

    A recipe file names corpora and mixes: references to them become names. A network may also be written out, or be
    a preset with changes.
    """
    _, schema = models_json_schema([(model, "validation") for model in FILES.values()])
    definitions = schema["$defs"]
    name = TypeAdapter(Name).json_schema()
    network = {"anyOf": [name, _reference(_CHANGES), _reference("NetworkSpec")]}
    in_files = {"CorpusSpec": name, "MixSpec": name, "NetworkSpec": network}
    for owner in ("Recipe", "IterationSpec"):
        definitions[owner] = _replace_references(definitions[owner], in_files)
    definitions[_CHANGES] = _network_changes(definitions["NetworkSpec"], name)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Files of data_specs",
        "anyOf": [_reference(model.__name__) for model in FILES.values()],
        "$defs": definitions,
    }


def _network_changes(network: dict[str, Any], name: dict[str, Any]) -> dict[str, Any]:
    """The schema of `preset` and any fields of a network: each has the preset's value if it is not given."""
    fields = {
        field: {key: value for key, value in schema.items() if key != "default"}
        for field, schema in network["properties"].items()
    }
    return {
        "additionalProperties": False,
        "description": "The network of a file of data_specs/networks; fields beside `preset` replace the file's.",
        "properties": {"preset": name, **fields},
        "required": ["preset"],
        "title": _CHANGES,
        "type": "object",
    }


def _reference(definition: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{definition}"}


def _replace_references(node: Any, replacements: dict[str, dict[str, Any]]) -> Any:
    """The node with every reference to a definition in `replacements` replaced by the schema given there."""
    if isinstance(node, dict):
        definition = str(node.get("$ref", "")).removeprefix("#/$defs/")
        if definition in replacements:
            return replacements[definition]
        return {key: _replace_references(value, replacements) for key, value in node.items()}
    if isinstance(node, list):
        return [_replace_references(item, replacements) for item in node]
    return node
