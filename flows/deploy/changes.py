"""What of a deployment is to be written, so that nothing is lost that people changed in Prefect.

Three states are compared field by field, as version control does it: what is wanted now, what was written last time,
and what the server holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

Fields = Mapping[str, JsonValue]  # path of a field, e.g. `parameters.runtime.workers`, to its value
_MISSING = object()


@dataclass(frozen=True)
class Changes:
    """What to write, and what people changed and is left as they want it."""

    to_set: dict[str, JsonValue]
    to_remove: tuple[str, ...]
    kept: tuple[str, ...]  # paths


def compare(wanted: Fields, applied: Fields, current: Fields) -> Changes:
    """Changes from `current` to `wanted`. `applied` is what was written last time; empty if nothing was.

    A field that people changed since then is kept, unless what is wanted has changed as well: the later word counts.
    """
    to_set, kept = {}, []
    for path, value in wanted.items():
        now, before = current.get(path, _MISSING), applied.get(path, _MISSING)
        if now == value:
            continue
        if before == value and now != before:
            kept.append(path)
        else:
            to_set[path] = value
    # Fields that we wrote and no longer want. One that people changed meanwhile is theirs.
    to_remove = tuple(path for path in applied.keys() - wanted.keys() if current.get(path, _MISSING) == applied[path])
    return Changes(to_set, to_remove, tuple(kept))


def flatten(tree: Mapping[str, JsonValue], prefix: str = "") -> dict[str, JsonValue]:
    """The leaves of nested mappings by their paths; a list is a leaf."""
    leaves: dict[str, JsonValue] = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            leaves |= flatten(value, f"{path}.")
        else:
            leaves[path] = value
    return leaves


def unflatten(leaves: Fields) -> dict[str, JsonValue]:
    """The inverse of `flatten`. No name that we use has a dot in it."""
    tree: dict[str, JsonValue] = {}
    for path, value in leaves.items():
        *parents, name = path.split(".")
        branch = tree
        for parent in parents:
            below = branch.setdefault(parent, {})
            if not isinstance(below, dict):
                below = branch[parent] = {}
            branch = below
        branch[name] = value
    return tree
