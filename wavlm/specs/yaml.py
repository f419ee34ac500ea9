"""Read YAML files into specs: recipes, corpora, mixes, networks. Every error names file, line and field."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import JsonValue

from wavlm.specs import CorpusSpec, MixSpec, ModelSpec, NetworkSpec, Recipe
from wavlm.specs.evaluation import EvaluationSpec, SuiteSpec
from wavlm.specs.expand import (
    dump,
    expand_baseline,
    expand_iteration,
    expand_model,
    find_named,
    read_corpus_fields,
    read_model_fields,
    read_spec,
    require_name,
    validate,
)
from wavlm.specs.lookup import (
    find_file,
    is_bare_name,
    is_file,
    list_names,
    names_in,
    shipped_specs,
    suggest,
)
from wavlm.specs.simulation_file import expand_simulation
from wavlm.specs.system_file import read_systems, recipe_of_system
from wavlm.specs.tree import RecipeError, Tree, parse_tree

_ROLES = {"speech": "speech", "noise": "noise", "rooms": "room"}  # a recipe's field -> the role of its corpora


def read_recipe(path: Path | str) -> Recipe:
    """Read a recipe and replace the names of corpora, models, mixes and networks in it by their contents.

    `path` is a file or the bare name of a shipped recipe, e.g. `demo`; a file of that name goes first.
    A corpus `x` is the file `corpora/x.yaml` of the folder above the recipe's folder; if there is none, of the shipped
    data_specs. Models, mixes and networks are found likewise in `models/`, `mixes/` and `networks/`.
    Raises RecipeError with file, line, field, what was found and what was expected.
    """
    tree = parse_tree(find_recipe(Path(path)))
    fields = dict(tree.fields)
    if "stages" in fields and "task" in fields:
        return recipe_of_system(tree.path)
    for field, role in _ROLES.items():
        if isinstance(names := fields.get(field), list):
            fields[field] = [read_corpus_fields(tree, (field, n), name, role) for n, name in enumerate(names)]
    if isinstance(models := fields.get("models"), dict):
        fields["models"] = {name: read_model_fields(tree, ("models", name), model) for name, model in models.items()}
    if isinstance(suite := fields.get("evaluate"), str):
        fields["evaluate"] = dump(read_suite(find_named(tree, "suites", ("evaluate",), suite)))
    if isinstance(names := fields.get("finetune"), list):
        fields["finetune"] = _expand_systems(tree, names)
    if isinstance(iterations := fields.get("iterations"), list):
        known = fields.get("models")
        known = known if isinstance(known, dict) else {}
        fields["iterations"] = [expand_iteration(tree, n, it, known) for n, it in enumerate(iterations)]
    return validate(Recipe, tree, fields)  # also refuses what is not a list


def find_recipe(path: Path) -> Path:
    """The file of a recipe: the path as it is, or the shipped recipe of that bare name if there is no such file.

    Raises RecipeError with what was probably meant, or with what there is.
    """
    if is_file(path):
        return path
    shipped = shipped_specs() / "recipes"
    if not is_bare_name(path):
        is_near = not os.path.lexists(path) and os.path.isdir(path.parent)  # noqa: PTH112 - that of Path raises
        if is_near and (hint := suggest(path.stem, names_in(path.parent))):
            raise RecipeError(f"no such file, expected a YAML file of data_specs: {hint}; at {path}")
        return path
    found = find_file((shipped, shipped_specs() / "finetunes"), path.name)
    if found is None:
        hint = suggest(path.name, names_in(shipped))
        raise RecipeError(
            f"no such file and no shipped recipe, expected a path or one of {list_names((shipped,))}"
            f"{f': {hint}' if hint else ''}; at {path}"
        )
    return found


def read_corpus(path: Path | str) -> CorpusSpec:
    """Read one file of data_specs/corpora; raises RecipeError."""
    return read_spec(CorpusSpec, Path(path))


def read_mix(path: Path | str) -> MixSpec:
    """Read one file of data_specs/mixes; raises RecipeError."""
    return read_spec(MixSpec, Path(path))


def read_network(path: Path | str) -> NetworkSpec:
    """Read one file of data_specs/networks; raises RecipeError."""
    return read_spec(NetworkSpec, Path(path))


def read_model(path: Path | str) -> ModelSpec:
    """Read one file of data_specs/models; raises RecipeError."""
    path = Path(path)
    tree = parse_tree(path)
    return validate(ModelSpec, tree, expand_model(tree, (), tree.fields))


def read_evaluation(path: Path | str) -> EvaluationSpec:
    """Read one file of data_specs/evaluations, with its corpora; raises RecipeError."""
    tree = parse_tree(path := Path(path))
    fields = dict(tree.fields)
    for field, role in (("corpora", "evaluation"), ("noise", "noise")):
        if isinstance(names := fields.get(field), list):
            fields[field] = [read_corpus_fields(tree, (field, n), name, role) for n, name in enumerate(names)]
    expand_simulation(tree, fields)
    return require_name(validate(EvaluationSpec, tree, fields), tree)


def read_suite(path: Path | str) -> SuiteSpec:
    """Read one file of data_specs/suites, with its evaluations; raises RecipeError."""
    tree = parse_tree(path := Path(path))
    fields = dict(tree.fields)
    if isinstance(names := fields.get("evaluations"), list):
        places = (find_named(tree, "evaluations", ("evaluations", n), name) for n, name in enumerate(names))
        fields["evaluations"] = [dump(read_evaluation(place)) for place in places]
    if isinstance(baselines := fields.get("baselines"), list):
        fields["baselines"] = [expand_baseline(tree, n, item) for n, item in enumerate(baselines)]
    if isinstance(references := fields.get("references"), list):
        fields["references"] = {
            str(name): read_model_fields(tree, ("references", n), name) for n, name in enumerate(references)
        }
    return require_name(validate(SuiteSpec, tree, fields), tree)


def find_suite(path: Path) -> SuiteSpec:
    """A suite, or one evaluation as a suite: a file, or the bare name of a shipped one. Raises RecipeError."""
    found = path if is_file(path) else None
    folders = [shipped_specs() / kind for kind in ("suites", "evaluations")]
    if found is None and is_bare_name(path):
        found = find_file(folders, path.name)
    if found is None:
        hint = suggest(path.name, [name for folder in folders for name in names_in(folder)])
        raise RecipeError(
            f"no such file and no shipped suite, expected a path or one of {list_names(folders)}"
            f"{f': {hint}' if hint else ''}; at {path}"
        )
    if "evaluations" in parse_tree(found).fields:
        return read_suite(found)
    evaluation = read_evaluation(found)
    return SuiteSpec(name=evaluation.name, description=evaluation.description, evaluations=(evaluation,))


def list_suites() -> dict[str, list[str]]:
    """The names of the evaluations of each shipped suite."""
    folder = shipped_specs() / "suites"
    found = {name: parse_tree(folder / f"{name}.yaml").fields.get("evaluations") for name in names_in(folder)}
    return {name: list(map(str, names)) for name, names in found.items() if isinstance(names, list)}


def _expand_systems(tree: Tree, names: list[JsonValue]) -> list[JsonValue]:
    """The systems of a recipe, and before them those that they go on from. What is written out stays as it is."""
    found: list[JsonValue] = []
    for number, name in enumerate(names):
        if not isinstance(name, str):
            found.append(name)
            continue
        *beneath, own = read_systems(find_named(tree, "finetunes", ("finetune", number), name))
        known = {item["name"] for item in found if isinstance(item, dict)}
        found += [dump(item) for item in beneath if item.name not in known]
        found.append(dump(own))
    return found
