"""What of a store is kept: all that kept recipes want, what they start from, and the lineage of registered models.

Kept are recipes as their files are now, and as they were when they were last run (`garbage.notes`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wavlm.errors import BadDataError
from wavlm.pipeline.artifacts import (
    Artifact,
    Evaluation,
    Export,
    Finetune,
    Mixtures,
    Model,
    Registration,
    Scores,
    SystemRegistration,
)
from wavlm.pipeline.garbage.notes import Remembered, read_notes, starts_of
from wavlm.pipeline.language_models import unknown_language_models
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.record import read_field, read_seal
from wavlm.pipeline.refreshes import read_refresh
from wavlm.pipeline.registration import RegistrationFacts, explain_registry
from wavlm.pipeline.resolve import resolve, unknown_corpora
from wavlm.pipeline.resolve_models import unknown_models
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe, StartSpec
from wavlm.specs.lookup import names_in, shipped_specs
from wavlm.specs.yaml import find_recipe, read_recipe
from wavlm.storage.seals import sealed_files

_OF_A_MODEL = frozenset({Scores.kind, Evaluation.kind, Finetune.kind, Export.kind, Registration.kind, Mixtures.kind})
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class KeptRecipe:
    """A recipe, resolved, and its plan. `is_used`: it was named, or run with this store."""

    recipe: Recipe
    artifacts: tuple[Artifact, ...]
    is_used: bool

    @property
    def unread(self) -> tuple[str, ...]:
        """Corpora and models that have changed: nobody knows which of the store's artifacts are the recipe's.

        Shipped recipes that nobody runs name models by words such as `base`, so theirs do not count.
        """
        models = (*unknown_models(self.recipe), *unknown_language_models(self.recipe)) if self.is_used else ()
        return (*unknown_corpora(self.recipe), *models)


@dataclass(frozen=True)
class Kept:
    """What is kept, by key, with the reason; and what may belong to it."""

    recipes: tuple[KeptRecipe, ...]
    reasons: Mapping[str, str]  # by key of an artifact
    notes: tuple[Remembered, ...]  # without those that are to be forgotten
    starts: tuple[str, ...]  # real folders that trainings start from
    registered: frozenset[str]  # keys of all registrations that were there

    @property
    def unread(self) -> frozenset[str]:
        return frozenset(name for item in self.recipes for name in item.unread)

    @property
    def hidden(self) -> tuple[Remembered, ...]:
        """Recipes whose file cannot be read from here."""
        return tuple(note for note in self.notes if not note.is_visible)

    @property
    def unclear(self) -> tuple[str, ...]:
        """Files of recipes of which nobody here knows what they want."""
        return tuple(note.path for note in self.hidden if not note.is_whole)


def find_kept(
    store: Store,
    named: Sequence[Path],
    is_registered: Callable[[RegistrationFacts], bool] = lambda _: True,
    forgotten: Collection[str] = (),
) -> Kept:
    """All that is kept: of the shipped recipes, of those that were run with this store, of `named`, of registrations.

    `is_registered`: whether the registry that is asked now still has a version that was registered there.
    `forgotten`: paths of recipes whose note does not count.
    Raises UsageError if one of these recipes cannot be read: then nobody knows what it wants.
    """
    notes = tuple(note for note in read_notes(store) if note.path not in forgotten)
    run = (Path(note.path) for note in notes if note.is_visible)
    used = {os.path.realpath(find_recipe(path)) for path in (*named, *run)}
    home = shipped_specs() / "recipes"
    shipped = {os.path.realpath(home / f"{name}.yaml") for name in names_in(home)}
    recipes = tuple(_read(path, store, is_used=path in used) for path in sorted(used | shipped))
    starts = {start for item in recipes for start in starts_of(item.artifacts)}
    starts.update(start for note in notes for start in note.starts)
    reasons: dict[str, str] = {}
    for key, reason in (*_of_recipes(recipes, notes), *_of_starts(starts, recipes, store)):
        reasons.setdefault(key, reason)
    folders = {key_of_folder(folder): folder for folder in store.folders()}
    registered = list(find_registrations(store))
    for folder, facts in registered:
        if explain_registry(folder, store.root) is not None or is_registered(facts):
            for key in protected_by(folder, folders):  # a version of another registry protects, whoever asks
                reasons.setdefault(key, f"registered as {facts.name}:{facts.version}")
    keys = frozenset(key_of_folder(folder) for folder, _ in registered)
    return Kept(recipes, reasons, notes, tuple(sorted(starts)), keys)


def find_registrations(store: Store) -> Iterator[tuple[Path, RegistrationFacts]]:
    """The folders of all registrations of a store, with what the registry said."""
    for folder in store.folders():
        if folder.parent.name in (Registration.kind, SystemRegistration.kind):
            yield folder, RegistrationFacts.model_validate(read_field(folder, "facts"), strict=False)


def protected_by(registration: Path, folders: Mapping[str, Path]) -> Iterator[str]:
    """Keys of a registration, of its lineage, and of what else was made from that. `folders`: by key."""
    yield key_of_folder(registration)
    lineage = set(lineage_of(registration, folders))
    yield from lineage
    for other in folders.values():
        if other.parent.name in _OF_A_MODEL and lineage.issuperset(inputs_of(other)):
            yield key_of_folder(other)


def inputs_of(folder: Path) -> tuple[str, ...]:
    """Keys of what an artifact, complete or under way, was made from."""
    seal = read_seal(folder)
    return tuple(seal.inputs) if seal else ()


def lineage_of(folder: Path, folders: Mapping[str, Path]) -> Iterator[str]:
    """Keys of all that an artifact was made from, as far as the store holds it. `folders`: by key."""
    waiting, seen = list(inputs_of(folder)), set[str]()
    while waiting:
        key = waiting.pop()
        if key not in seen:
            seen.add(key)
            yield key
            waiting += inputs_of(folders[key]) if key in folders else ()


def key_of_folder(folder: Path) -> str:
    """The key in the name of a folder, complete or under way."""
    return folder.name.removesuffix(".partial").rpartition("-")[2]


def _read(path: str, store: Store, *, is_used: bool) -> KeptRecipe:
    """A recipe with what it wants: of one that is refreshed also what the next number will take, which may be there."""
    spec = read_recipe(path)
    recipe = resolve(spec, store)
    wanted = {artifact.key: artifact for artifact in plan(recipe)}
    if read_refresh(store.root, spec.name) is not None:
        wanted.update((artifact.key, artifact) for artifact in _known(plan(resolve(spec, store, is_today=True))))
    return KeptRecipe(recipe, tuple(wanted.values()), is_used)


def _known(artifacts: Iterable[Artifact]) -> Iterator[Artifact]:
    return (artifact for artifact in artifacts if artifact.is_known)


def _of_recipes(recipes: Sequence[KeptRecipe], notes: Sequence[Remembered]) -> Iterator[tuple[str, str]]:
    yield from ((artifact.key, f"recipe {item.recipe.name}") for item in recipes for artifact in item.artifacts)
    yield from ((key, f"the recipe {note.path}, as it was last run,") for note in notes for key in note.keys)


def _of_starts(starts: Collection[str], recipes: Sequence[KeptRecipe], store: Store) -> Iterator[tuple[str, str]]:
    """What a training starts from, with its lineage: by the place, and by the weights, which a link may lead to."""
    starting = (model.start for item in recipes for model in models(item.artifacts))
    digests = {start.sha256 for start in starting if isinstance(start, StartSpec)}
    if not starts and not digests:
        return
    folders = {key_of_folder(folder): folder for folder in store.folders()}
    for key, folder in folders.items():
        if holds(folder, starts) or (folder.parent.name == Model.kind and _weights_of(folder) in digests):
            for kept in (key, *lineage_of(folder, folders)):
                yield kept, "a kept recipe that starts from it"


def holds(path: Path, starts: Collection[str]) -> bool:
    """Whether one of these real folders is this one, or lies in it."""
    real = os.path.realpath(path)
    return any(start == real or start.startswith(real + os.sep) for start in starts)


def _weights_of(folder: Path) -> str | None:
    try:
        found = sealed_files(folder).get(_WEIGHTS)
    except BadDataError:
        return None
    return found.sha256 if found else None
