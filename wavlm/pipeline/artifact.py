"""The base class of all artifacts: what an identity, a key and an input are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, fields
from functools import cached_property
from typing import ClassVar

from pydantic import JsonValue

from wavlm.specs.identity import canonical, key_of

UNKNOWN = "?"


def digest_key(identity: JsonValue, mark: str = "") -> str:
    """The key of an identity, with a mark in place of its first letters."""
    return mark + key_of(identity)[len(mark) :]


@dataclass(frozen=True)
class Artifact:
    """Base of all artifacts. `format` is bumped when the same fields come to mean other bytes.

    A field with `compare=False` is no part of the identity: it says for what, or where in a recipe, the artifact is
    made, not what it is.
    """

    kind: ClassVar[str]
    format: ClassVar[int] = 1
    files: ClassVar[tuple[str, ...]] = ()  # what its stage makes, as `wavlm.pipeline.sealing` reads it
    # Fields that an identity holds under the name that they had first, so that a renamed field changes no key.
    identity_names: ClassVar[Mapping[str, str]] = {}

    @property
    def name(self) -> str:
        """A readable hint, not identity."""
        raise NotImplementedError

    @cached_property
    def identity(self) -> dict[str, JsonValue]:
        """Everything that the key digests: kind, format, specs without defaults, input keys."""
        return {
            "kind": self.kind,
            "format": self.format,
            **{
                self.identity_names.get(item.name, item.name): canonical(getattr(self, item.name))
                for item in fields(self)
                if item.compare and getattr(self, item.name) != item.default
            },
        }

    @cached_property
    def is_known(self) -> bool:
        """Whether everything that the key digests is known. What is in a folder is not, before it was read."""
        return all(item.is_known for item in self.inputs)

    @cached_property
    def key(self) -> str:
        """12 hex digits; with a `?` in front, which no store accepts, if not everything is known."""
        return digest_key(self.identity, "" if self.is_known else UNKNOWN)

    @property
    def inputs(self) -> tuple[Artifact, ...]:
        """The artifacts this one is made from, in field order: those that its key depends on."""
        return self._artifacts_in(item for item in fields(self) if item.compare)

    @property
    def needs(self) -> tuple[Artifact, ...]:
        """What has to be there to make this one: the inputs, and what it is only measured with."""
        return self._artifacts_in(fields(self)) + self.also_read

    @property
    def also_read(self) -> tuple[Artifact, ...]:
        """What a build opens beside its own fields: inputs of an input, which the key names by that one."""
        return ()

    def _artifacts_in(self, chosen: Iterable[Field[object]]) -> tuple[Artifact, ...]:
        found: list[Artifact] = []
        for item in chosen:
            value = getattr(self, item.name)
            found += [one for one in (value if isinstance(value, tuple) else (value,)) if isinstance(one, Artifact)]
        return tuple(found)

    @property
    def folder(self) -> str:
        return f"{self.kind}/{self.name}-{self.key if self.is_known else UNKNOWN}"

    def __str__(self) -> str:
        return self.folder
