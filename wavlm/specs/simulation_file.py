"""Read a file of data_specs/simulations, with its corpora. Every error names file, line and field."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from wavlm.specs import CorpusSpec
from wavlm.specs.expand import find_named, read_spec, require_name, validate
from wavlm.specs.lookup import find_file, is_bare_name, is_file, list_names, names_in, shipped_specs, suggest
from wavlm.specs.simulation import SimulationSpec
from wavlm.specs.tree import Loc, RecipeError, Tree, parse_tree

ROLES = {"corpora": ("speech", "evaluation"), "noise": ("noise",), "rooms": ("room",)}


def find_simulation(path: Path) -> SimulationSpec:
    """A simulation by its file, or by the bare name of a shipped one. Raises RecipeError."""
    if is_file(path) or not is_bare_name(path):
        return read_simulation(path)
    folder = shipped_specs() / "simulations"
    found = find_file((folder,), path.name)
    if found is None:
        hint = suggest(path.name, names_in(folder))
        raise RecipeError(
            f"no such file and no shipped simulation, expected a path or one of {list_names((folder,))}"
            f"{f': {hint}' if hint else ''}; at {path}"
        )
    return read_simulation(found)


def read_simulation(path: Path) -> SimulationSpec:
    """Read one file; raises RecipeError."""
    tree = parse_tree(path)
    fields = dict(tree.fields)
    for field, roles in ROLES.items():
        if isinstance(names := fields.get(field), list):
            fields[field] = [_corpus(tree, (field, number), name, roles) for number, name in enumerate(names)]
    return require_name(validate(SimulationSpec, tree, fields), tree)


def _corpus(tree: Tree, loc: Loc, name: JsonValue, roles: tuple[str, ...]) -> JsonValue:
    corpus = read_spec(CorpusSpec, find_named(tree, "corpora", loc, name))
    if corpus.role not in roles:
        raise tree.error(loc, f"found {name!r}, a corpus of role {corpus.role!r}, expected {' or '.join(roles)}")
    return corpus.model_dump(mode="json")


def expand_simulation(tree: Tree, fields: dict[str, JsonValue]) -> None:
    """Replace the name of a simulation in the fields of a file by what it says."""
    if isinstance(name := fields.get("simulation"), str):
        path = find_named(tree, "simulations", ("simulation",), name)
        fields["simulation"] = read_simulation(path).model_dump(mode="json")
