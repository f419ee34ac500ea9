"""What of a store is kept: all that kept recipes want, and the lineage of registered models.

The store remembers which recipe files were run with it (`recipes/`). They are kept as they are now.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wavlm.pipeline.artifacts import Artifact, Export, Mixtures, Registration, Scores
from wavlm.pipeline.plan import plan
from wavlm.pipeline.record import read_field, read_seal
from wavlm.pipeline.registration import RegistrationFacts, explain_registry
from wavlm.pipeline.resolve import resolve, unread_folders
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.specs.lookup import names_in, shipped_specs
from wavlm.specs.yaml import find_recipe, read_recipe
from wavlm.storage.facts import Facts, read_facts
from wavlm.storage.files import write_json

RECIPES = "recipes"
_OF_A_MODEL = frozenset({Scores.kind, Export.kind, Registration.kind, Mixtures.kind})


class Remembered(Facts):
    """A recipe file that was run with this store."""

    path: str
    last_run_unix: float


def remember(recipe: Path | str, store: Store) -> None:
    """Note that a recipe is run with this store, so that house-keeping keeps what it wants."""
    path = os.path.realpath(find_recipe(Path(recipe)))
    folder = store.root / RECIPES
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}.json"
    write_json(folder / name, Remembered(path=path, last_run_unix=time.time()).model_dump(mode="json"))


@dataclass(frozen=True)
class KeptRecipe:
    """A recipe, resolved, and its plan. `is_used`: it was named, or run with this store."""

    recipe: Recipe
    artifacts: tuple[Artifact, ...]
    is_used: bool

    @property
    def unread(self) -> tuple[str, ...]:
        """Corpora whose folder has changed: nobody knows which of the store's artifacts are the recipe's."""
        return unread_folders(self.recipe)


@dataclass(frozen=True)
class Kept:
    """What is kept, by key, with the reason; and what may belong to it."""

    recipes: tuple[KeptRecipe, ...]
    reasons: Mapping[str, str]  # by key of an artifact
    forgotten: tuple[str, ...]  # recipe files that were run with this store and are gone

    @property
    def unread(self) -> frozenset[str]:
        return frozenset(name for item in self.recipes for name in item.unread)


def find_kept(
    store: Store, named: Sequence[Path], is_registered: Callable[[RegistrationFacts], bool] = lambda _: True
) -> Kept:
    """All that is kept: of the shipped recipes, of those that were run with this store, of `named`, of registrations.

    `is_registered`: whether the registry that is asked now still has a version that was registered there.
    Raises UsageError if one of these recipes cannot be read: then nobody knows what it wants.
    """
    run = [Path(item.path) for item in _remembered(store)]
    used = {os.path.realpath(find_recipe(path)) for path in (*named, *(path for path in run if path.exists()))}
    home = shipped_specs() / "recipes"
    shipped = {os.path.realpath(home / f"{name}.yaml") for name in names_in(home)}
    recipes = tuple(_read(path, store, is_used=path in used) for path in sorted(used | shipped))
    reasons: dict[str, str] = {}
    for item in recipes:
        for artifact in item.artifacts:
            reasons.setdefault(artifact.key, f"recipe {item.recipe.name}")
    for key, reason in _of_registered(store, is_registered):
        reasons.setdefault(key, reason)
    return Kept(recipes, reasons, tuple(str(path) for path in run if not path.exists()))


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
    recipe = resolve(read_recipe(path), store)
    return KeptRecipe(recipe, plan(recipe), is_used)


def _remembered(store: Store) -> Iterator[Remembered]:
    for path in sorted((store.root / RECIPES).glob("*.json")):
        yield read_facts(path, Remembered)


def _of_registered(store: Store, is_registered: Callable[[RegistrationFacts], bool]) -> Iterator[tuple[str, str]]:
    """The lineage of registered models, and what was made from them."""
    folders = {key_of_folder(folder): folder for folder in store.folders()}
    for folder in folders.values():
        if folder.parent.name != Registration.kind:
            continue
        facts = RegistrationFacts.model_validate(read_field(folder, "facts"), strict=False)
        if explain_registry(folder, store.root) is None and not is_registered(facts):
            continue  # a version of another registry protects, whoever asks
        reason = f"registered as {facts.name}:{facts.version}"
        yield key_of_folder(folder), reason
        lineage = set(lineage_of(folder, folders))
        yield from ((key, reason) for key in lineage)
        for other in folders.values():
            if other.parent.name in _OF_A_MODEL and lineage.issuperset(inputs_of(other)):
                yield key_of_folder(other), reason
