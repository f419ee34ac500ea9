"""Resolve the models of a recipe: the content of folders, as the store remembers it, and versions of the registry.

Nothing is hashed and no network is asked here: that is `read_models`, and the task that asks the registry.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wavlm.errors import BadDataError
from wavlm.errors.boundary import code_errors
from wavlm.export.errors import ImportRefusedError
from wavlm.export.sources import ModelFiles, content_of
from wavlm.pipeline.digests import cached_sha256, known_sha256
from wavlm.pipeline.imported import find_files, place_of
from wavlm.pipeline.plan import used_models
from wavlm.pipeline.refreshes import find_version, read_refresh
from wavlm.pipeline.store import Store
from wavlm.specs import ModelFolder, ModelSpec, ModelVersion, Recipe


def resolve_models(recipe: Recipe, store: Store, number: int | None = None) -> Recipe:
    """The recipe with what is known of its models; `number`: of the refresh, the newest if it is not given.

    Raises BadDataError (MODEL_CHANGED) if a folder does not hold the content that the recipe pins.
    """
    if not recipe.models:
        return recipe
    refresh = read_refresh(store.root, recipe.name, number)

    def fill_in(name: str, spec: ModelSpec) -> ModelSpec:
        if isinstance(spec.source, ModelFolder):
            return _fill_folder(name, spec, spec.source, store.root)
        if isinstance(spec.source, ModelVersion):
            asked = refresh.models.get(name) if refresh else None
            if asked and asked.first == spec.first and asked.first and asked.asked == spec.source.reference:
                return fill_in(asked.first, recipe.models[asked.first])
            found = find_version(spec.source, asked)
            return spec.model_copy(update={"source": found}) if found else spec
        return spec

    return recipe.model_copy(update={"models": {name: fill_in(name, spec) for name, spec in recipe.models.items()}})


def read_models(recipe: Recipe, store: Store) -> None:
    """Hash the files of models that are folders, as far as they are new or have changed. What is not there is left."""
    names = {name for item in used_models(recipe) for name in (item.called, item.spec.first) if name}
    for name in sorted(names):
        spec = recipe.models[name]
        if (source := spec.folder) and (files := _find(spec, source)):
            with code_errors(files.place):
                content_of(files, lambda path: cached_sha256(path, store.root))


def unknown_models(resolved: Recipe) -> tuple[str, ...]:
    """Names of the models of a resolved recipe whose bytes are not known yet."""
    return tuple(item.called for item in used_models(resolved) if not item.is_known)


def _fill_folder(name: str, spec: ModelSpec, source: ModelFolder, root: Path) -> ModelSpec:
    content = _known_content(spec, source, root)
    if content is None:
        return spec
    if source.content not in (None, content):
        raise BadDataError(
            "MODEL_CHANGED",
            f"the content of the model {name} is {content}, the recipe pins {source.content}; at {place_of(source)}; "
            "correct `content`, or get the model that the recipe means",
        )
    return spec.model_copy(update={"source": source.model_copy(update={"content": content})})


def _known_content(spec: ModelSpec, source: ModelFolder, root: Path) -> str | None:
    """The content of a model as it is now; None if a file of it has to be hashed first, or there is none."""
    files = _find(spec, source)
    known = {path: known_sha256(path, root) for path in files.paths} if files else {}
    if files is None or None in known.values():
        return None
    digest_of: Callable[[Path], str] = {path: digest for path, digest in known.items() if digest}.__getitem__
    return content_of(files, digest_of)


def _find(spec: ModelSpec, source: ModelFolder) -> ModelFiles | None:
    """The files of a model; None if there is none: the check before a run says so."""
    try:
        return find_files(spec, place_of(source))
    except (ImportRefusedError, OSError):
        return None
