"""Refreshes of a recipe (`refreshes/<recipe>/0001.json` in the store): what the weekly loop took, number by number.

An alias such as `champion` moves, and a corpus grows. So a refresh has a number: it asks the registry once, and takes
the recordings that are there when its shards are complete. Both stand in its file from then on. Whoever goes on after a
stop, at any place, goes on with them; planning needs no network. The next number begins when this one is sealed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from wavlm.errors import BadDataError
from wavlm.specs import CorpusSpec, FolderSource, ModelVersion, Recipe
from wavlm.storage.digested import read_digested, write_digested
from wavlm.storage.facts import Facts

REFRESHES = "refreshes"
_OF_PLACE = {
    "type",
    "path",
    "generations",
    "revision",
}  # fields of a folder that say where it is, and not what it holds


class ResolvedModel(Facts):
    """The version that a reference meant when the registry was asked."""

    asked: str  # the reference, NAME@ALIAS or NAME:VERSION
    model: str = ""
    version: str = ""
    sha256: str = ""  # of the version's `model.safetensors`
    place: str = ""  # the registry
    first: str = ""  # the model of the recipe that stood in, because there was no such version yet

    def __str__(self) -> str:
        if self.first:
            return f"{self.asked}, none yet: {self.first} stands in"
        return f"{self.asked}, {f'version {self.version}' if self.version else 'not resolved'}"


class TakenCorpus(Facts):
    """The recordings of a folder that a refresh took."""

    source: Mapping[str, JsonValue]  # fields of FolderSource, without its place
    valid_rule: Mapping[str, JsonValue] | None = None


class Product(Facts):
    """What a refresh made: a version of the registry, and what the gate said of it."""

    model: str
    version: int
    sha256: str
    verdict: str


class Refresh(Facts):
    """One number of a recipe."""

    number: int = Field(ge=1)
    state: Literal["open", "sealed"] = "open"
    models: Mapping[str, ResolvedModel] = {}  # by their names in the recipe
    corpora: Mapping[str, TakenCorpus] = {}  # by name; empty until all shards were complete
    hours: float | None = None  # of speech in these corpora
    product: Product | None = None  # of the last iteration, once it is sealed
    opened_unix: float | None = None
    sealed_unix: float | None = None


def read_refresh(root: Path, recipe: str, number: int | None = None) -> Refresh | None:
    """A refresh of a recipe; the newest if no number is given. None if there is none.

    root: the store's. recipe: its name. Raises BadDataError (RECORD_BROKEN).
    """
    there = sorted((root / REFRESHES / recipe).glob("[0-9]*.json"), key=lambda path: int(path.stem))
    chosen = [path for path in there if number in (None, int(path.stem))]
    return _read(chosen[-1]) if chosen else None


def write_refresh(root: Path, recipe: str, refresh: Refresh) -> Path:
    """Write a refresh; returns its path."""
    path = root / REFRESHES / recipe / f"{refresh.number:04d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_digested(path, refresh.model_dump(mode="json"))
    return path


def find_version(source: ModelVersion, found: ResolvedModel | None) -> ModelVersion | None:
    """The source with version and sha256, if they were asked for by the same reference; None if they were not."""
    if found is None or found.asked != source.reference or found.first:
        return None
    if source.sha256 not in (None, found.sha256) or source.version not in (None, found.version):
        return None
    return source.model_copy(update={"version": found.version, "sha256": found.sha256})


def aliases_of(recipe: Recipe) -> dict[str, ModelVersion]:
    """The models that a recipe takes by an alias, by their names in it: such a recipe is refreshed."""
    sources = {name: spec.source for name, spec in recipe.models.items()}
    return {name: item for name, item in sources.items() if isinstance(item, ModelVersion) and item.alias}


def describe_refresh(recipe: Recipe, root: Path) -> str:
    """The newest number of a recipe, its state, and which versions its models are; empty if none is named by alias."""
    aliases = aliases_of(recipe)
    if not aliases:
        return ""
    found = read_refresh(root, recipe.name)
    models = {name: ResolvedModel(asked=source.reference) for name, source in aliases.items()}
    models.update(found.models if found else {})
    words = "; ".join(f"{name}: {models[name]}" for name in aliases)
    if found is None:
        return f"no refresh yet; {words}"
    taken = ", recordings not taken yet" if found.hours is None else ", recordings taken"
    taken = "" if found.state == "sealed" else taken
    return f"refresh {found.number}, {found.state}{taken}; {words}"


def note_corpora(resolved: Recipe) -> dict[str, TakenCorpus]:
    """The recordings that the folders of a resolved recipe hold now."""
    return {spec.name: _note(spec, spec.folder) for spec in _corpora(resolved) if spec.folder}


def take_corpus(spec: CorpusSpec, refresh: Refresh | None) -> CorpusSpec | None:
    """The corpus with the recordings that a refresh took; None if it took none of it, or the spec pins others."""
    taken = refresh.corpora.get(spec.name) if refresh else None
    if taken is None or spec.folder is None:
        return None
    if spec.folder.content not in (None, taken.source.get("content")):
        return None
    folder = FolderSource.model_validate_json(json.dumps({**spec.folder.model_dump(mode="json"), **taken.source}))
    fields = {**spec.model_dump(mode="json"), "sources": [folder.model_dump(mode="json")]}
    return CorpusSpec.model_validate_json(json.dumps({**fields, "valid_rule": taken.valid_rule}))


def _note(spec: CorpusSpec, folder: FolderSource) -> TakenCorpus:
    source = {name: value for name, value in folder.model_dump(mode="json").items() if name not in _OF_PLACE}
    return TakenCorpus(source=source, valid_rule=spec.valid_rule and spec.valid_rule.model_dump(mode="json"))


def _corpora(recipe: Recipe) -> tuple[CorpusSpec, ...]:
    return (*recipe.speech, *recipe.noise, *recipe.rooms)


def _read(path: Path) -> Refresh:
    try:
        found = read_digested(path)
        refresh = Refresh.model_validate(found.content, strict=False)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError) as error:  # of pydantic, too
        raise _broken(path, str(error)) from error
    if not found.has_digest:
        raise _broken(path, "it was changed: it carries no digest")
    return refresh


def _broken(path: Path, why: str) -> BadDataError:
    return BadDataError(
        "RECORD_BROKEN",
        f"no refresh can be read: {why}; at {path}; take it from a copy of the store, or remove it: then this number "
        "begins anew",
    )
