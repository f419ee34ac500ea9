"""Keys of artifacts: the canonical JSON of specs and artifacts, and its digest."""

from __future__ import annotations

import hashlib
import json
from typing import Protocol, runtime_checkable

from pydantic import BaseModel, JsonValue

KEY_DIGITS = 12


@runtime_checkable
class Keyed(Protocol):
    """An artifact: it has a key, which stands for all of its fields."""

    @property
    def key(self) -> str: ...


def key_of(identity: JsonValue) -> str:
    """The first 12 hex digits of the sha256 of an identity's canonical JSON."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def canonical(value: object) -> JsonValue:
    """The part of a value that is its identity, as JSON.

    Fields of a Spec that are listed in `not_identity` are left out. Fields that equal their default are left
    out, too: a new field whose default is the old behaviour changes no key.
    Raises TypeError for a value without a stable form, such as a set or a path.
    """
    if isinstance(value, BaseModel):
        skipped: frozenset[str] = getattr(type(value), "not_identity", frozenset())
        return {
            name: canonical(getattr(value, name))
            for name, field in type(value).model_fields.items()
            if name not in skipped and (field.is_required() or getattr(value, name) != field.get_default())
        }
    if isinstance(value, Keyed):
        return value.key
    if isinstance(value, tuple | list | dict):
        return _canonical_items(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{type(value).__name__} has no stable form: {value!r}")


def _canonical_items(values: tuple[object, ...] | list[object] | dict[str, object]) -> JsonValue:
    """Each item of a list, or of a table of names; `key_of` sorts the names. Fields that hold any JSON have lists."""
    if isinstance(values, tuple | list):
        return [canonical(item) for item in values]
    return {name: canonical(item) for name, item in values.items()}
