"""JSON schema of the files in data_specs, for editors and for people who write specs by hand."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from wavlm.specs import CorpusSpec, MixSpec, Name, Recipe, Spec

_FILES: dict[str, type[Spec]] = {"corpora": CorpusSpec, "mixes": MixSpec, "recipes": Recipe}


def json_schema() -> dict[str, Any]:
    """One schema with a definition per folder of data_specs.

    In files corpora and mixes are named, not spelled out: references to them become names.
    """
    _, schema = models_json_schema([(model, "validation") for model in _FILES.values()])
    definitions = schema["$defs"]
    name = TypeAdapter(Name).json_schema()
    for owner in ("Recipe", "IterationSpec"):
        definitions[owner] = _replace_by_names(definitions[owner], name)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Files of data_specs",
        "anyOf": [{"$ref": f"#/$defs/{model.__name__}"} for model in _FILES.values()],
        "$defs": definitions,
    }


def _replace_by_names(node: Any, name: dict[str, Any]) -> Any:
    """The node with every reference to a corpus or a mix replaced by the schema of a name."""
    if isinstance(node, dict):
        if node.get("$ref") in ("#/$defs/CorpusSpec", "#/$defs/MixSpec"):
            return name
        return {key: _replace_by_names(value, name) for key, value in node.items()}
    if isinstance(node, list):
        return [_replace_by_names(item, name) for item in node]
    return node
