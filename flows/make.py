"""Make one artifact: the table from its kind to the task that makes it."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from prefect import Task

from tasks.codebook import codebook
from tasks.corpus import corpus
from tasks.evaluation import evaluation
from tasks.export import export
from tasks.finetune import finetune
from tasks.folders import read_folders
from tasks.labels import labels
from tasks.mixtures import mixtures
from tasks.model import model
from tasks.orchestration.stage import make_shares
from tasks.orchestration.waiting import wait_out
from tasks.pretrain import pretrain
from tasks.register import register
from tasks.register_system import register_system
from tasks.scores import scores
from tasks.shards import shards
from tasks.simulation import simulation
from tasks.versions import ask_versions
from wavlm.errors import BadDataError, ServiceMissingError
from wavlm.execution.runtime import Runtime
from wavlm.execution.share import Share
from wavlm.pipeline.artifacts import Artifact, ImportedModel, Kind, Model, Registration, SystemRegistration, build_order
from wavlm.pipeline.aside import find_left_out
from wavlm.pipeline.garbage.notes import remember
from wavlm.pipeline.garbage.thinned import find_thinned
from wavlm.pipeline.known import require_known
from wavlm.pipeline.language_models import unknown_language_models
from wavlm.pipeline.lost_lists import restore_list
from wavlm.pipeline.mirror.sharing import bring, fill_inputs, fill_sibling, give_if_it_answers
from wavlm.pipeline.plan import plan
from wavlm.pipeline.record import RECORD_FILE
from wavlm.pipeline.resolve import corpora_of, resolve, unknown_corpora
from wavlm.pipeline.store import Store
from wavlm.specs import ModelVersion, Recipe
from wavlm.specs.yaml import read_recipe

ATTEMPTS = 3  # at an artifact whose inputs others move away
logger = logging.getLogger(__name__)

_TASKS: dict[str, Task[[Any, Store, Runtime], Path]] = {
    "corpus": corpus,
    "shards": shards,
    "model": model,
    "codebook": codebook,
    "labels": labels,
    "mixtures": mixtures,
    "simulation": simulation,
    "scores": scores,
    "evaluation": evaluation,
    "finetune": finetune,
    "export": export,
}


def read_resolved(
    recipe: str,
    store: Store,
    runtime: Runtime,
    choose: Callable[[Sequence[Artifact]], Iterable[Artifact]] = tuple,
    *,
    is_today: bool = False,
) -> Recipe:
    """A recipe with the content of its folders and the versions of its models. Hashes what is new in folders.

    Lists of generations that were lost come back first. The registry is asked once: what a run has written down is what
    every later one means. So it is not asked for a run that makes nothing of a model, such as one of `prepare`. With
    `is_today` it is not asked at all, and folders are as they are now, whatever the newest refresh has taken.
    """
    recipe_spec = read_recipe(Path(recipe))
    for spec in corpora_of(recipe_spec):
        restore_list(spec, store)
    resolved = resolve(recipe_spec, store, is_today=is_today)
    remember(recipe, store, plan(resolved))
    chosen = build_order(choose(plan(resolved)))
    unknown = [item for item in chosen if isinstance(item, ImportedModel) and not item.is_known]
    unread = set(unknown_corpora(resolved)) - find_left_out(resolved, store)
    if not unread and not unknown and not unknown_language_models(resolved):
        return resolved
    if not is_today and any(isinstance(item.spec.source, ModelVersion) for item in unknown):
        ask_versions(recipe_spec, store, runtime)
    if unread or unknown_language_models(resolved) or any(item.spec.folder for item in unknown):
        read_folders(recipe_spec, store, runtime)
    resolved = resolve(recipe_spec, store, is_today=is_today)
    remember(recipe, store, plan(resolved))
    return resolved


def require_registered(artifacts: Iterable[Artifact], store: Store, recipe: str) -> None:
    """Raise ServiceMissingError (NOT_REGISTERED) if the registry did not take a model; why, was logged."""
    if waiting := [str(item) for item in artifacts if isinstance(item, Registration) and not store.is_complete(item)]:
        raise ServiceMissingError(
            "NOT_REGISTERED",
            f"the registry did not take a model (see above why); at {', '.join(waiting)}; "
            f"once it answers: wavlm sync {shlex.quote(recipe)} --store {shlex.quote(str(store.root))}",
        )


def make(artifact: Artifact, recipe: Recipe, store: Store, runtime: Runtime) -> None:
    """Run the artifact's task, unless the store holds the artifact already, or the mirror does."""
    if not store.is_complete(artifact) and not _bring(artifact, store, runtime):
        _make_here(artifact, recipe, store, runtime)
    give_if_it_answers(artifact, store, runtime)


def _make_here(artifact: Artifact, recipe: Recipe, store: Store, runtime: Runtime) -> None:
    _fill_inputs(artifact, store, runtime)
    if isinstance(artifact, Registration):
        register(artifact, store, recipe, runtime)
        return
    if isinstance(artifact, SystemRegistration):
        register_system(artifact, store, runtime)
        return
    if isinstance(artifact, Model):
        pretrain(artifact, store, runtime, recipe.name)
        return
    _restore_thinned(artifact, recipe, store, runtime)
    _TASKS[artifact.kind](artifact, store, runtime)


def _bring(artifact: Artifact, store: Store, runtime: Runtime) -> bool:
    """Take an artifact from the mirror, as soon as nobody makes it here."""
    return wait_out(lambda: store.is_complete(artifact) or bring(artifact, store, runtime), runtime)


def _fill_inputs(artifact: Artifact, store: Store, runtime: Runtime) -> None:
    wait_out(lambda: fill_inputs(artifact, store, runtime), runtime)
    wait_out(lambda: fill_sibling(artifact, store, runtime), runtime)


def make_share(artifact: Artifact, store: Store, runtime: Runtime, share: Share) -> None:
    """Make a share of the parts of an artifact that is not complete. No server follows it; nothing is sealed."""
    _fill_inputs(artifact, store, runtime)
    with make_shares(share):
        _TASKS[artifact.kind].fn(artifact, store, runtime)


def read_for_shares(recipe: str, store: Store, runtime: Runtime, kind: Kind) -> Recipe:
    """A resolved recipe whose artifacts of a kind are known; it is kept from house-keeping from now on.

    For corpora their folders are read, by the first of the processes that share them. Everything else is made from what
    was read before. Raises UsageError (FOLDER_UNKNOWN), and what folders raise.
    """
    recipe_spec = read_recipe(Path(recipe))
    if kind == "corpus":
        read_folders.fn(recipe_spec, store, runtime)
        resolved = resolve(recipe_spec, store)
    else:
        resolved = require_known(recipe_spec, store)
    remember(recipe, store, plan(resolved))
    return resolved


def make_with_inputs(artifact: Artifact, recipe: Recipe, store: Store, runtime: Runtime) -> None:
    """The same, after what it needs was made: also what another run has moved away since this one began."""
    for left in reversed(range(ATTEMPTS)):
        if store.is_complete(artifact) or _bring(artifact, store, runtime):
            give_if_it_answers(artifact, store, runtime)
            return
        for item in artifact.needs:
            make_with_inputs(item, recipe, store, runtime)
        try:
            make(artifact, recipe, store, runtime)
        except BadDataError as error:
            if error.code != "INPUT_MISSING" or not left:
                raise
            logger.warning("once more, for an input is gone: %s", error)


def make_again(artifact: Artifact, recipe: Recipe, store: Store, runtime: Runtime) -> None:
    """Move a complete artifact to the trash and make it again; what another run made again meanwhile is used."""
    _restore_thinned(artifact, recipe, store, runtime)  # which may fail: what is there is still in its place then
    before = _state_of(store.path(artifact) / RECORD_FILE)

    def discard() -> None:
        for item in artifact.needs:
            store.require(item)  # before what is there is moved away
        if not store.is_complete(artifact) or _state_of(store.path(artifact) / RECORD_FILE) == before:
            store.redo(artifact)

    wait_out(discard, runtime)
    if not store.is_complete(artifact):
        _make_here(artifact, recipe, store, runtime)


def _restore_thinned(artifact: Artifact, recipe: Recipe, store: Store, runtime: Runtime) -> None:
    """Make the corpora again whose audio was deleted, if this is made from them."""
    for item in find_thinned([artifact], store):
        make_again(item, recipe, store, runtime)


def _state_of(record: Path) -> tuple[int, int] | None:
    """What changes when a file is written again; None if it is not there."""
    try:
        found = record.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
