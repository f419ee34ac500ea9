"""The check before everything else: problems that recipe and machine show end a run in its first second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact
from wavlm.pipeline.check import find, require_ready
from wavlm.pipeline.check.wanted import Finding
from wavlm.pipeline.plan import plan
from wavlm.pipeline.resolve import resolve
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.specs.yaml import read_recipe

Choose = Callable[[Sequence[Artifact]], Sequence[Artifact]]  # what of a plan is to be made


def check_ready(recipe: str, store: Store, runtime: Runtime, choose: Choose = tuple, *, redo: bool = False) -> None:
    """Raise NotReadyError, which lists all problems. With `redo` what is complete is made again."""
    recipe_spec, artifacts = _left_to_make(recipe, store, choose, redo=redo)
    require_ready(recipe_spec, artifacts, store, runtime)


def find_all(recipe: str, store: Store, runtime: Runtime, choose: Choose = tuple) -> Iterator[Finding]:
    """The problems, and what is in order."""
    recipe_spec, artifacts = _left_to_make(recipe, store, choose, redo=False)
    return find(recipe_spec, artifacts, store, runtime)


def _left_to_make(recipe: str, store: Store, choose: Choose, *, redo: bool) -> tuple[Recipe, list[Artifact]]:
    recipe_spec = resolve(read_recipe(Path(recipe)), store)
    chosen = choose(plan(recipe_spec))
    return recipe_spec, [item for item in chosen if redo or not store.is_complete(item)]
