"""JSON schema of the YAML files in data_specs: for editors, for checks and for people who write specs by hand."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from wavlm.specs import CorpusSpec, MixSpec, Name, NetworkSpec, Recipe, Spec
from wavlm.specs.editors import by_fields, follow_branches

FILES: dict[str, type[Spec]] = {"corpora": CorpusSpec, "mixes": MixSpec, "networks": NetworkSpec, "recipes": Recipe}
_CHANGES = "NetworkChanges"


def json_schema() -> dict[str, Any]:
    """One schema with a definition for each folder of data_specs.

    A recipe file names corpora and mixes: references to them become names. A network may also be written out, or be
    a preset with changes. Every field has a description, its docstring.
    """
    _, schema = models_json_schema([(model, "validation") for model in FILES.values()])
    definitions = schema["$defs"]
    name = TypeAdapter(Name).json_schema()
    by_preset = {"if": {"required": ["preset"]}, "then": _reference(_CHANGES), "else": _reference("NetworkSpec")}
    network = {"if": {"type": "string"}, "then": name, "else": by_preset}
    in_files = {"CorpusSpec": name, "MixSpec": name, "NetworkSpec": network}
    for owner in ("Recipe", "IterationSpec"):
        definitions[owner] = _replace_references(definitions[owner], in_files)
    definitions[_CHANGES] = _network_changes(definitions["NetworkSpec"], name)
    files = {model.__name__: definitions[model.__name__] for model in FILES.values()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Files of data_specs",
        **by_fields(files),
        "$defs": follow_branches(definitions),
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
        "properties": {"preset": {**name, "description": "Name of a file of data_specs/networks."}, **fields},
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
        if definition in replacements:  # the words about the field stay
            return {**{key: value for key, value in node.items() if key != "$ref"}, **replacements[definition]}
        return {key: _replace_references(value, replacements) for key, value in node.items()}
    if isinstance(node, list):
        return [_replace_references(item, replacements) for item in node]
    return node
