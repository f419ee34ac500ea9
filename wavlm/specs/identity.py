"""Identity: the canonical JSON of specs and artifacts, and the digest that is an artifact's key."""

from __future__ import annotations

import hashlib
import json
from typing import Protocol, runtime_checkable

from pydantic import BaseModel, JsonValue

KEY_DIGITS = 12


@runtime_checkable
class Keyed(Protocol):
    """An artifact, as far as identity knows one: it has a key, which stands for all of it."""

    @property
    def key(self) -> str: ...


def key_of(identity: JsonValue) -> str:
    """The first hex digits of the sha256 of an identity's canonical JSON."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def canonical(value: object) -> JsonValue:
    """The part of a value that is identity, as JSON; raises TypeError for what has no stable form.

    Fields of a Spec that equal their default, or are listed in `not_identity`, are left out, so
    that a new field whose default is the old behaviour changes no key.
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
    if isinstance(value, tuple):
        return [canonical(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{type(value).__name__} has no stable form: {value!r}")
