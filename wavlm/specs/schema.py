"""JSON schema of the YAML files in data_specs: for editors, for checks and for people who write specs by hand."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from wavlm.specs import CorpusSpec, EvaluationSpec, MixSpec, ModelSpec, Name, NetworkSpec, Recipe, Spec, SuiteSpec
from wavlm.specs.editors import by_fields, follow_branches
from wavlm.specs.finetune import FinetuneSpec
from wavlm.specs.simulation import SimulationSpec

FILES: dict[str, type[Spec]] = {
    "corpora": CorpusSpec,
    "evaluations": EvaluationSpec,
    "finetunes": FinetuneSpec,
    "mixes": MixSpec,
    "models": ModelSpec,
    "networks": NetworkSpec,
    "recipes": Recipe,
    "simulations": SimulationSpec,
    "suites": SuiteSpec,
}
_CHANGES, _CONTINUED, _REGISTERED = "NetworkChanges", "NetworkOfModel", "ModelInRegistry"


def json_schema() -> dict[str, Any]:
    """One schema with a definition for each folder of data_specs.

    A recipe file names corpora and mixes: references to them become names. A network may also be written out, or be
    a preset or that of a model with changes; a model may be written out, or be a reference to a registry. Every field
    has a description, its docstring.
    """
    _, schema = models_json_schema([(model, "validation") for model in FILES.values()])
    definitions = schema["$defs"]
    name = TypeAdapter(Name).json_schema()
    by_preset = {"if": {"required": ["preset"]}, "then": _reference(_CHANGES), "else": _reference("NetworkSpec")}
    by_model = {"if": {"required": ["model"]}, "then": _reference(_CONTINUED), "else": by_preset}
    by_registry = {"if": {"required": ["registry"]}, "then": _reference(_REGISTERED), "else": _reference("ModelSpec")}
    in_files = {
        "CorpusSpec": name,
        "EvaluationSpec": name,
        "FinetuneSpec": _by_name(name, _reference("FinetuneSpec")),
        "MixSpec": name,
        "ModelSpec": _by_name(name, by_registry),
        "SuiteSpec": _by_name(name, _reference("SuiteSpec")),
    }
    sources = definitions["IterationSpec"]["properties"]
    sources["codebook"] = _with_default(sources["codebook"], definitions)
    baselines = definitions["SuiteSpec"]["properties"]["baselines"]
    kinds = {"enum": sorted(baselines["items"]["discriminator"]["mapping"])}
    baselines["items"] = {"if": {"type": "string"}, "then": kinds, "else": baselines["items"]}
    of_suite = definitions["SuiteSpec"]["properties"]
    words = {key: value for key, value in of_suite["references"].items() if key in ("description", "title")}
    of_suite["references"] = {"type": "array", "items": name, "default": [], **words}
    networks = {
        "Recipe": by_model,
        "IterationSpec": by_model,
        "ModelSpec": by_preset,
        "EvaluationSpec": by_preset,
        "SuiteSpec": by_preset,
        "FinetuneSpec": by_preset,
        "SimulationSpec": by_preset,
        "RandomBaseline": by_preset,
    }
    for owner, network in networks.items():
        definitions[owner] = _replace_references(
            definitions[owner], {**in_files, "NetworkSpec": _by_name(name, network)}
        )
    preset, model = (
        "Name of a file of data_specs/networks.",
        "Name of one of the recipe's models, which says its network.",
    )
    definitions[_CHANGES] = _network_changes(definitions["NetworkSpec"], _CHANGES, "preset", name, preset)
    definitions[_CONTINUED] = _network_changes(definitions["NetworkSpec"], _CONTINUED, "model", name, model)
    definitions[_REGISTERED] = _model_in_registry(definitions["ModelSpec"])
    definitions["JsonValue"] = {"description": "Any value."}
    files = {model.__name__: definitions[model.__name__] for model in FILES.values()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Files of data_specs",
        **by_fields(files),
        "$defs": follow_branches(definitions),
    }


def _by_name(name: dict[str, Any], written_out: dict[str, Any]) -> dict[str, Any]:
    return {"if": {"type": "string"}, "then": name, "else": written_out}


def _with_default(choice: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A choice by `type`, of which the first member may leave it out; nothing is a choice, too."""
    words: dict[str, Any] = {key: choice[key] for key in ("default", "description", "title")}
    ways = choice["anyOf"][0]["oneOf"]
    members = {item["$ref"]: definitions[item["$ref"].removeprefix("#/$defs/")] for item in ways}
    mapping = {member["properties"]["type"]["const"]: place for place, member in members.items()}
    by_tag = {"oneOf": ways, "discriminator": {"mapping": mapping}}
    given = {"if": {"required": ["type"]}, "then": by_tag, "else": ways[0]}
    return {**words, "if": {"type": "null"}, "then": {"type": "null"}, "else": given}


def _network_changes(network: dict[str, Any], title: str, by: str, name: dict[str, Any], words: str) -> dict[str, Any]:
    """The schema of `preset` or `model` and any fields of a network: each has that one's value if it is not given."""
    fields = {
        field: {key: value for key, value in schema.items() if key != "default"}
        for field, schema in network["properties"].items()
    }
    return {
        "additionalProperties": False,
        "description": f"{words} Fields beside `{by}` replace those of its network.",
        "properties": {by: {**name, "description": words}, **fields},
        "required": [by],
        "title": title,
        "type": "object",
    }


def _model_in_registry(model: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model with `registry` in place of `source`."""
    words = "NAME@ALIAS or NAME:VERSION of a model in the registry, in place of `source`."
    reference = {"type": "string", "pattern": "^[^/:@]+(@[A-Za-z][A-Za-z0-9_-]*|:[1-9][0-9]*)$", "description": words}
    fields = {field: schema for field, schema in model["properties"].items() if field != "source"}
    return {**model, "properties": {"registry": reference, **fields}, "required": ["registry"], "title": _REGISTERED}


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
