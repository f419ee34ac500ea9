"""Ask the registry which versions the models of a recipe are, once, and write the answer into the store."""

from __future__ import annotations

import time
from collections.abc import Mapping

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.orchestration.stage import RETRIES
from tasks.orchestration.waiting import wait_out
from wavlm.errors import BadDataError, UsageError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.plan import used_models
from wavlm.pipeline.refreshes import Refresh, ResolvedModel, find_version, read_refresh, write_refresh
from wavlm.pipeline.store import Store
from wavlm.specs import ModelSpec, ModelVersion, Recipe
from wavlm.storage.locks import hold_lock

NONE_YET = ("MODEL_UNKNOWN", "VERSION_UNKNOWN")  # codes that say that no version has the alias


@task(cache_policy=NO_CACHE, task_run_name="versions of {recipe.name}", **RETRIES)
def ask_versions(recipe: Recipe, store: Store, runtime: Runtime) -> None:
    """Fill the newest refresh of a recipe with the versions that its models are; the first one if there is none."""
    wait_out(lambda: resolve_versions(recipe, store), runtime)


def resolve_versions(recipe: Recipe, store: Store, number: int | None = None) -> Refresh:
    """The refresh of this number with the version of every model that a recipe takes from the registry.

    What is written there already is not asked again: an alias may have moved since.
    number: not given: the newest, or the first one if there is none.
    Raises UsageError (MODEL_UNKNOWN, VERSION_UNKNOWN), BadDataError (VERSION_FOREIGN, MODEL_CHANGED), LockedError, and
    ServiceMissingError (REGISTRY_DOWN).
    """
    with hold_lock(store.root / "locks" / f"refresh-{recipe.name}.lock", f"the list of versions of {recipe.name}"):
        found = read_refresh(store.root, recipe.name, number) or Refresh(number=number or 1, opened_unix=time.time())
        models = ask_models(recipe, store, found.models)
        if models != found.models:
            found = found.model_copy(update={"models": models})
            write_refresh(store.root, recipe.name, found)
        return found


def ask_models(recipe: Recipe, store: Store, known: Mapping[str, ResolvedModel]) -> dict[str, ResolvedModel]:
    """What is known, and what the registry says of the models that are not among it. Raises as `resolve_versions`."""
    wanted = {item.called: item.spec for item in used_models(recipe) if isinstance(item.spec.source, ModelVersion)}
    new = {name: _ask(name, spec, store) for name, spec in wanted.items() if not _is_known(spec, known.get(name))}
    return {**known, **new}


def _is_known(spec: ModelSpec, found: ResolvedModel | None) -> bool:
    source = spec.source
    if found is None or not isinstance(source, ModelVersion):
        return False
    stands_in = bool(found.first) and (found.first, found.asked) == (spec.first, source.reference)
    return stands_in or find_version(source, found) is not None


def _ask(name: str, spec: ModelSpec, store: Store) -> ResolvedModel:
    from tasks.registry.lookup import find_weights
    from tasks.registry.system_versions import find_system_weights

    source = spec.source
    assert isinstance(source, ModelVersion), "only these are asked for"  # noqa: S101
    find = find_system_weights if spec.part == "system" else find_weights
    try:
        found = find(store, source.reference)
    except UsageError as error:
        if spec.first is None or error.code not in NONE_YET:
            raise
        return ResolvedModel(asked=source.reference, first=spec.first)
    if find_version(source, found) is None:
        pinned = f"version {source.version}, " if source.version else ""
        raise BadDataError(
            "MODEL_CHANGED",
            f"{source.reference} is version {found.version} with weights of sha256 {found.sha256}, the recipe pins "
            f"{pinned}sha256 {source.sha256 or 'any'}; at the model {name}, in {found.place}; correct the recipe",
        )
    return found
