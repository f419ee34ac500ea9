"""What a check looks at, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from wavlm.errors import CodedError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe

A = TypeVar("A", bound=Artifact)


@dataclass(frozen=True)
class Wanted:
    """Artifacts that are to be made, where and how."""

    recipe: Recipe
    artifacts: tuple[Artifact, ...]  # none of which is there
    store: Store
    runtime: Runtime

    def of(self, kind: type[A]) -> list[A]:
        """The artifacts of a class."""
        return [item for item in self.artifacts if isinstance(item, kind)]


@dataclass(frozen=True)
class Remark:
    """What a check found in order, or what it cannot know."""

    text: str
    is_warning: bool = False


Finding: TypeAlias = CodedError | Remark
