"""Make one artifact: the table from its kind to the task that makes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.codebook import codebook
from tasks.corpus import corpus
from tasks.export import export
from tasks.folders import read_folders
from tasks.labels import labels
from tasks.mixtures import mixtures
from tasks.pretrain import pretrain
from tasks.register import register
from tasks.scores import scores
from tasks.shards import shards
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact, Registration
from wavlm.pipeline.garbage.kept import remember
from wavlm.pipeline.garbage.thinned import find_thinned
from wavlm.pipeline.resolve import resolve, unread_folders
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.specs.yaml import read_recipe

_TASKS: dict[str, Callable[[Any, Store, Runtime], Path]] = {
    "corpus": corpus,
    "shards": shards,
    "codebook": codebook,
    "labels": labels,
    "mixtures": mixtures,
    "pretrain": pretrain,
    "scores": scores,
    "export": export,
}


def read_resolved(recipe: str, store: Store) -> Recipe:
    """A recipe with the content of its folders. Hashes what is new in them."""
    recipe_spec = read_recipe(Path(recipe))
    remember(recipe, store)
    resolved = resolve(recipe_spec, store)
    if not unread_folders(resolved):
        return resolved
    read_folders(recipe_spec, store)
    return resolve(recipe_spec, store)


def make(artifact: Artifact, recipe: Recipe, store: Store, runtime: Runtime) -> None:
    """Run the artifact's task, unless the store holds the artifact already."""
    if store.is_complete(artifact):
        return
    if isinstance(artifact, Registration):
        register(artifact, store, recipe)
        return
    for item in find_thinned([artifact], store):
        store.redo(item)
        make(item, recipe, store, runtime)
    _TASKS[artifact.kind](artifact, store, runtime)
