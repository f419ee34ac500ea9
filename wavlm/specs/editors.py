"""Make a JSON schema tell one mistake as one error: choices become conditions, which name the branch that was meant.

A validator that meets `anyOf` or `oneOf` has to complain of every branch, or of none in particular. With `if` and
`then` it follows the one branch that the file is about: by its `type`, by null or not, by text or mapping. Only words
of draft 7 are used, which all editors know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Schema = dict[str, Any]


def follow_branches(node: Any) -> Any:
    """The schema with every choice as a condition. What it accepts stays the same."""
    return _drop_types(_follow(node))


def _follow(node: Any) -> Any:
    if isinstance(node, list):
        return [_follow(item) for item in node]
    return _rewrite({key: _follow(value) for key, value in node.items()}) if isinstance(node, dict) else node


def _drop_types(node: Any) -> Any:
    """Without the types of listed values: a value that is not listed would be of the wrong type as well."""
    if isinstance(node, list):
        return [_drop_types(item) for item in node]
    if not isinstance(node, dict):
        return node
    dropped = {"type"} if node.keys() & {"enum", "const"} and isinstance(node.get("type"), str) else set()
    return {key: _drop_types(value) for key, value in node.items() if key not in dropped}


def _rewrite(node: Schema) -> Schema:
    """A node whose parts are rewritten."""
    if "discriminator" in node:
        branches = node.pop("discriminator")["mapping"]
        del node["oneOf"]
        return node | _by_tag("type", branches)
    if "anyOf" in node:
        return node | by_type(node.pop("anyOf"))
    return _name_first(node) if node.get("additionalProperties") is False else node


def by_type(branches: Sequence[Schema]) -> Schema:
    """A choice of which each branch but the last, a mapping, is told by its JSON type. Numbers and null are one."""
    plain = [branch for branch in branches if "type" in branch]
    others = [branch for branch in branches if "type" not in branch]
    if not others and len(plain) == 2 and plain[1] == {"type": "null"}:
        return plain[0] | {"type": [plain[0]["type"], "null"]}
    first, *rest = [*plain, *others]
    if not rest:
        return first
    then = {} if first == {"type": "null"} else {"then": first}
    return {"if": {"type": first["type"]}, **then, "else": by_type(rest)}


def by_fields(branches: Mapping[str, Schema]) -> Schema:
    """A choice between mappings: the first that has a field which no other one has, or else all that it has to have.

    The last if there is none.
    """
    fields = {name: set(schema["properties"]) for name, schema in branches.items()}
    chosen: Schema = {}
    for name in reversed(list(branches)):
        others = set[str]().union(*(fields[other] for other in fields if other != name))
        own: list[Schema] = [{"required": [field]} for field in sorted(fields[name] - others)]
        if needed := branches[name].get("required"):
            of_others = [{"required": [field]} for field in sorted(_own_fields(fields) - fields[name])]
            own.append({"required": sorted(needed), "not": {"anyOf": of_others}})
        reference = {"$ref": f"#/$defs/{name}"}
        chosen = {"if": {"anyOf": own}, "then": reference, "else": chosen} if chosen else reference
    return chosen


def _own_fields(fields: Mapping[str, set[str]]) -> set[str]:
    """The fields that one mapping alone has."""
    every = [field for names in fields.values() for field in names]
    return {field for field in every if every.count(field) == 1}


def _by_tag(tag: str, mapping: Mapping[str, str]) -> Schema:
    conditions = [
        {"if": {"properties": {tag: {"const": value}}, "required": [tag]}, "then": {"$ref": reference}}
        for value, reference in mapping.items()
    ]
    return {
        "type": "object",
        "required": [tag],
        "properties": {tag: {"enum": list(mapping), "description": "Which kind it is; decides on the other fields."}},
        "allOf": conditions,
    }


def _name_first(node: Schema) -> Schema:
    """Ask for missing fields only where all names are known: a mistyped one is not missing as well."""
    required = node.pop("required", None)
    if required is None:
        return node
    names = {"propertyNames": {"enum": list(node["properties"])}}
    return {**node, "if": names, "then": {"required": required}}
