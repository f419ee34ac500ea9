"""The fields in which two identities differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue


@dataclass(frozen=True)
class Difference:
    """A field in which a wanted artifact differs from the nearest complete one of its kind."""

    field: str
    existing: JsonValue
    wanted: JsonValue


def differences_between(prefix: str, existing: JsonValue, wanted: JsonValue) -> Iterator[Difference]:
    """What differs, by dotted names that begin with `prefix`."""
    if isinstance(existing, dict) and isinstance(wanted, dict):
        for name in sorted(set(existing) | set(wanted)):
            yield from differences_between(f"{prefix}.{name}" if prefix else name, existing.get(name), wanted.get(name))
    elif existing != wanted:
        yield Difference(prefix, existing, wanted)
