"""Read files of data_specs/finetunes: a system, and those that it goes on from. Every error names file and field."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import JsonValue

from wavlm.specs.expand import (
    dump,
    expand_reference,
    find_named,
    read_corpus_fields,
    read_model_fields,
    read_spec,
    require_name,
    validate,
)
from wavlm.specs.finetune import FinetuneSpec
from wavlm.specs.lookup import find_file, is_bare_name, is_file, shipped_specs, specs_folders
from wavlm.specs.mixing import MixSpec
from wavlm.specs.network import NetworkSpec
from wavlm.specs.recipe import Recipe
from wavlm.specs.simulation_file import expand_simulation
from wavlm.specs.tree import Tree, parse_tree

MODEL, SYSTEM = "model", "system"  # names in a recipe of one system: what it stands on, or goes on from


def read_finetune(path: Path | str) -> FinetuneSpec:
    """Read one file of data_specs/finetunes, or the shipped one of that bare name; raises RecipeError."""
    tree = parse_tree(_find(Path(path)))
    fields = dict(tree.fields)
    for field, role in (("corpora", "evaluation"), ("noise", "noise"), ("rooms", "room")):
        if isinstance(names := fields.get(field), list):
            fields[field] = [read_corpus_fields(tree, (field, n), name, role) for n, name in enumerate(names)]
    if isinstance(mix := fields.get("mix"), str):
        fields["mix"] = dump(read_spec(MixSpec, find_named(tree, "mixes", ("mix",), mix)))
    expand_simulation(tree, fields)
    return require_name(validate(FinetuneSpec, tree, fields), tree)


def read_systems(path: Path | str, system: str = "") -> tuple[FinetuneSpec, ...]:
    """The system of a file, and before it those of other files that it goes on from, in the order of training.

    system: what it goes on from, in place of what its file says.
    Raises RecipeError, also for systems that go on from each other.
    """
    path = _find(Path(path))
    found = [read_finetune(path)]
    if system:
        found = [found[0].model_copy(update={"system": system, "model": "", "baseline": None})]
    while beneath := _find_beneath(path, found[0].system):
        if beneath.stem in [item.name for item in found]:
            raise parse_tree(path).error(("system",), f"{beneath.stem} goes on from itself")
        path = beneath
        found.insert(0, read_finetune(path))
    return tuple(found)


def recipe_of_system(path: Path) -> Recipe:
    """The recipe that fine-tunes the system of a file, and those that it goes on from, on what their specs name."""
    tree = parse_tree(path)
    first, *others = read_systems(path)
    fields: dict[str, JsonValue] = {
        "name": tree.path.stem,
        "description": (first, *others)[-1].description,
        "registry_name": "unused",
        "shards": {"min_seconds": 0.1, "max_seconds": 3600.0},
    }
    changed: dict[str, JsonValue] = {}
    if first.system:
        fields["models"] = {SYSTEM: {**_fields_of_place(tree, SYSTEM, first.system), "part": "system"}}
        changed = {"system": SYSTEM}
    elif first.baseline is None and not first.model:
        raise tree.error((MODEL,), "it names no model; `wavlm finetune SPEC --model MODEL` takes any")
    elif first.model in ("fbank", "mfcc"):
        changed = {"model": "", "baseline": {"type": first.model}}
    elif first.model.startswith("random:"):
        place = find_named(tree, "networks", (MODEL,), first.model.removeprefix("random:"))
        changed = {"model": "", "baseline": {"type": "random", "network": dump(read_spec(NetworkSpec, place))}}
    elif first.model:
        fields["models"] = {MODEL: _fields_of_model(tree, first.model)}
        changed = {"model": MODEL}
    fields["finetune"] = [{**dump(first), **changed}, *map(dump, others)]
    return validate(Recipe, tree, fields)


def _find(path: Path) -> Path:
    if is_file(path) or not is_bare_name(path):
        return path
    return find_file((shipped_specs() / "finetunes",), path.name) or path


def _find_beneath(path: Path, system: str) -> Path | None:
    """The file of the system that the one of this file goes on from; None if it is none of data_specs/finetunes."""
    return find_file(tuple(folder / "finetunes" for folder in specs_folders(path)), system) if system else None


def _fields_of_model(tree: Tree, model: str) -> dict[str, JsonValue]:
    if find_file(tuple(folder / "models" for folder in specs_folders(tree.path)), model) is None:
        return _fields_of_place(tree, MODEL, model)
    found = read_model_fields(tree, (MODEL,), model)
    assert isinstance(found, dict)  # noqa: S101 - of a file
    return found


def _fields_of_place(tree: Tree, field: str, named: str) -> dict[str, JsonValue]:
    """A model or a system that is a folder or file, or a version of the registry."""
    place = tree.path.absolute().parent / os.path.expanduser(named)  # noqa: PTH111 - that of Path raises
    if os.path.exists(place):  # noqa: PTH110 - that of Path raises
        return {"source": {"type": "folder", "path": str(place)}}
    return {"source": expand_reference(tree, (field,), named)}
