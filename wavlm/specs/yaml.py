"""Read YAML files into specs: recipes, corpora, mixes, networks. Every error names file, line and field."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue, ValidationError

from wavlm.specs import CorpusSpec, MixSpec, ModelSpec, NetworkSpec, Recipe, Spec
from wavlm.specs.evaluation import EvaluationSpec, SuiteSpec
from wavlm.specs.explain import explain_errors
from wavlm.specs.finetune import FinetuneSpec
from wavlm.specs.lookup import (
    find_file,
    is_bare_name,
    is_file,
    list_names,
    names_in,
    shipped_specs,
    specs_folders,
    suggest,
)
from wavlm.specs.tree import Loc, RecipeError, Tree, parse_tree

MAX_PROBLEMS = 20  # that one message lists
_ROLES = {"speech": "speech", "noise": "noise", "rooms": "room"}  # a recipe's field -> the role of its corpora
_S = TypeVar("_S", bound=Spec)


def read_recipe(path: Path | str) -> Recipe:
    """Read a recipe and replace the names of corpora, models, mixes and networks in it by their contents.

    `path` is a file or the bare name of a shipped recipe, e.g. `demo`; a file of that name goes first.
    A corpus `x` is the file `corpora/x.yaml` of the folder above the recipe's folder; if there is none, of the shipped
    data_specs. Models, mixes and networks are found likewise in `models/`, `mixes/` and `networks/`.
    Raises RecipeError with file, line, field, what was found and what was expected.
    """
    tree = parse_tree(find_recipe(Path(path)))
    fields = dict(tree.fields)
    for field, role in _ROLES.items():
        if isinstance(names := fields.get(field), list):
            fields[field] = [_read_corpus_fields(tree, (field, n), name, role) for n, name in enumerate(names)]
    if isinstance(models := fields.get("models"), dict):
        fields["models"] = {name: _read_model_fields(tree, ("models", name), model) for name, model in models.items()}
    if isinstance(suite := fields.get("evaluate"), str):
        fields["evaluate"] = _dump(read_suite(_find_named(tree, "suites", ("evaluate",), suite)))
    if isinstance(names := fields.get("finetune"), list):
        places = (
            _find_named(tree, "finetunes", ("finetune", n), name)
            for n, name in enumerate(names)
            if isinstance(name, str)
        )
        fields["finetune"] = [_dump(read_finetune(place)) for place in places] or names
    if isinstance(iterations := fields.get("iterations"), list):
        known = fields.get("models")
        known = known if isinstance(known, dict) else {}
        fields["iterations"] = [_expand_iteration(tree, n, it, known) for n, it in enumerate(iterations)]
    return _validate(Recipe, tree, fields)  # also refuses what is not a list


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
    found = find_file((shipped,), path.name)
    if found is None:
        hint = suggest(path.name, names_in(shipped))
        raise RecipeError(
            f"no such file and no shipped recipe, expected a path or one of {list_names((shipped,))}"
            f"{f': {hint}' if hint else ''}; at {path}"
        )
    return found


def read_corpus(path: Path | str) -> CorpusSpec:
    """Read one file of data_specs/corpora; raises RecipeError."""
    return _read_spec(CorpusSpec, Path(path))


def read_mix(path: Path | str) -> MixSpec:
    """Read one file of data_specs/mixes; raises RecipeError."""
    return _read_spec(MixSpec, Path(path))


def read_network(path: Path | str) -> NetworkSpec:
    """Read one file of data_specs/networks; raises RecipeError."""
    return _read_spec(NetworkSpec, Path(path))


def read_model(path: Path | str) -> ModelSpec:
    """Read one file of data_specs/models; raises RecipeError."""
    path = Path(path)
    tree = parse_tree(path)
    return _validate(ModelSpec, tree, _expand_model(tree, (), tree.fields))


def read_evaluation(path: Path | str) -> EvaluationSpec:
    """Read one file of data_specs/evaluations, with its corpora; raises RecipeError."""
    tree = parse_tree(path := Path(path))
    fields = dict(tree.fields)
    for field, role in (("corpora", "evaluation"), ("noise", "noise")):
        if isinstance(names := fields.get(field), list):
            fields[field] = [_read_corpus_fields(tree, (field, n), name, role) for n, name in enumerate(names)]
    return _require_name(_validate(EvaluationSpec, tree, fields), tree)


def read_suite(path: Path | str) -> SuiteSpec:
    """Read one file of data_specs/suites, with its evaluations; raises RecipeError."""
    tree = parse_tree(path := Path(path))
    fields = dict(tree.fields)
    if isinstance(names := fields.get("evaluations"), list):
        places = (_find_named(tree, "evaluations", ("evaluations", n), name) for n, name in enumerate(names))
        fields["evaluations"] = [_dump(read_evaluation(place)) for place in places]
    if isinstance(baselines := fields.get("baselines"), list):
        fields["baselines"] = [_expand_baseline(tree, n, item) for n, item in enumerate(baselines)]
    return _require_name(_validate(SuiteSpec, tree, fields), tree)


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


def read_finetune(path: Path | str) -> FinetuneSpec:
    """Read one file of data_specs/finetunes, or the shipped one of that bare name; raises RecipeError."""
    path = Path(path)
    if not is_file(path) and is_bare_name(path):
        shipped = shipped_specs() / "finetunes"
        path = find_file((shipped,), path.name) or path
    tree = parse_tree(path)
    fields = dict(tree.fields)
    for field, role in (("corpora", "evaluation"), ("noise", "noise"), ("rooms", "room")):
        if isinstance(names := fields.get(field), list):
            fields[field] = [_read_corpus_fields(tree, (field, n), name, role) for n, name in enumerate(names)]
    if isinstance(mix := fields.get("mix"), str):
        fields["mix"] = _dump(read_mix(_find_named(tree, "mixes", ("mix",), mix)))
    return _require_name(_validate(FinetuneSpec, tree, fields), tree)


def _expand_baseline(tree: Tree, number: int, baseline: JsonValue) -> JsonValue:
    """The fields of a baseline that is given by its type alone, or with its network written out."""
    if isinstance(baseline, str):
        return {"type": baseline}
    if isinstance(baseline, dict) and baseline.get("network") is not None:
        loc = ("baselines", number, "network")
        return {**baseline, "network": _expand_network(tree, loc, baseline["network"], {})}
    return baseline


def _require_name(spec: _S, tree: Tree) -> _S:
    """The spec, if it is named as its file is."""
    if getattr(spec, "name", None) != tree.path.stem:
        raise tree.error(
            ("name",), f"found {getattr(spec, 'name', None)!r}, expected {tree.path.stem!r}, the name of its file"
        )
    return spec


def _read_spec(cls: type[_S], path: Path) -> _S:
    tree = parse_tree(path)
    if cls is CorpusSpec:
        _locate_folders(tree.fields, path)
        _locate_digests(tree.fields, path)
    spec = _validate(cls, tree, tree.fields)
    name = getattr(spec, "name", path.stem)  # a network has no field `name`
    if name != path.stem:
        raise tree.error(("name",), f"found {name!r}, expected {path.stem!r}, the name of its file")
    return spec


def _locate_folder(source: JsonValue, path: Path) -> None:
    """Make the path of a model's folder absolute. A relative one starts at the folder of the spec's file."""
    if isinstance(source, dict) and source.get("type") == "folder" and isinstance(source.get("path"), str):
        source["path"] = str(path.absolute().parent / os.path.expanduser(str(source["path"])))  # noqa: PTH111


def _locate_folders(fields: dict[str, JsonValue], path: Path) -> None:
    """Make the paths of folder sources absolute. Relative ones start at the folder of the spec's file."""
    sources = fields.get("sources")
    for source in sources if isinstance(sources, list) else ():
        if isinstance(source, dict) and source.get("type") == "folder" and isinstance(source.get("path"), str):
            if not source.get("generations"):
                source["generations"] = f"{path.stem}.generations"
            for field in ("path", "generations"):
                if isinstance(place := source[field], str):
                    source[field] = str(path.absolute().parent / os.path.expanduser(place))  # noqa: PTH111


def _locate_digests(fields: dict[str, JsonValue], path: Path) -> None:
    """Make the paths of lists of digests absolute, which lie beside the spec if nothing else is said."""
    sources = fields.get("sources")
    for source in sources if isinstance(sources, list) else ():
        if isinstance(source, dict) and source.get("digest_from") == "first-download":
            place = source.get("digests") or f"{path.stem}.digests.json"
            if isinstance(place, str):
                source["digests"] = str(path.absolute().parent / os.path.expanduser(place))  # noqa: PTH111


def _find_named(tree: Tree, kind: str, loc: Loc, name: JsonValue) -> Path:
    """The file of a name that a recipe gives in the field `loc`; kind: `corpora`, `models`, `mixes` or `networks`."""
    folders = tuple(folder / kind for folder in specs_folders(tree.path))
    found = find_file(folders, name) if isinstance(name, str) else None
    if found is None:
        hint = suggest(name, [item for folder in folders for item in names_in(folder)])
        raise tree.error(loc, f"found {name!r}, expected one of {list_names(folders)}{f': {hint}' if hint else ''}")
    return found


def _read_corpus_fields(tree: Tree, loc: Loc, name: JsonValue, role: str) -> JsonValue:
    """The fields of the corpus `name`, which must have that role."""
    corpus = read_corpus(_find_named(tree, "corpora", loc, name))
    if corpus.role == "evaluation" != role:
        raise tree.error(
            loc,
            f"found {name!r}, a corpus of role 'evaluation', expected one of role {role!r}: what models are scored on "
            "is never trained on",
        )
    if corpus.role != role:
        raise tree.error(loc, f"found {name!r}, a corpus of role {corpus.role!r}, expected one of role {role!r}")
    return _dump(corpus)


def _read_model_fields(tree: Tree, loc: Loc, model: JsonValue) -> JsonValue:
    """The fields of a model that a recipe gives by name or writes out."""
    if isinstance(model, str):
        return _dump(read_model(_find_named(tree, "models", loc, model)))
    return _expand_model(tree, loc, model) if isinstance(model, dict) else model


def _expand_model(tree: Tree, loc: Loc, model: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The fields of a model, with its `registry` and its network written out, and the path of a folder absolute."""
    expanded = dict(model)
    if "registry" in expanded:
        if "source" in expanded:
            raise tree.error((*loc, "registry"), "registry and source are both given: a model has one source")
        expanded["source"] = _expand_reference(tree, (*loc, "registry"), expanded.pop("registry"))
    _locate_folder(source := expanded.get("source"), tree.path)
    if isinstance(source, dict) and type(source.get("version")) is int:  # a number is what people write there
        expanded["source"] = {**source, "version": str(source["version"])}
    if expanded.get("network") is not None:
        expanded["network"] = _expand_network(tree, (*loc, "network"), expanded["network"], {})
    return expanded


def _expand_reference(tree: Tree, loc: Loc, reference: JsonValue) -> JsonValue:
    """The source that NAME@ALIAS or NAME:VERSION stands for."""
    text = reference if isinstance(reference, str) else ""
    model, sign, part = max(text.rpartition("@"), text.rpartition(":"), key=lambda found: len(found[0]))
    if not model or not part or (sign == ":") != part.isdigit():
        raise tree.error(loc, f"found {reference!r}, expected NAME@ALIAS or NAME:VERSION, as in wavlm-mine@champion")
    return {"type": "registry", "model": model, "alias" if sign == "@" else "version": part}


def _expand_iteration(tree: Tree, number: int, iteration: JsonValue, models: dict[str, JsonValue]) -> JsonValue:
    """The fields of an iteration, its mix and its network written out. models: those of the recipe, written out."""
    if not isinstance(iteration, dict):
        return iteration  # validation will refuse it
    expanded = dict(iteration)
    loc = ("iterations", number)
    if iteration.get("mix") is not None:
        expanded["mix"] = _dump(read_mix(_find_named(tree, "mixes", (*loc, "mix"), iteration["mix"])))
    if "network" in iteration:
        expanded["network"] = _expand_network(tree, (*loc, "network"), iteration["network"], models)
    return expanded


def _expand_network(tree: Tree, loc: Loc, network: JsonValue, models: dict[str, JsonValue]) -> JsonValue:
    """The fields of a network that is given by name, by `preset` or `model` and changes, or written out."""
    if isinstance(network, str):
        return _dump(read_network(_find_named(tree, "networks", loc, network)))
    if not isinstance(network, dict):
        return network
    if "model" in network:
        base = _network_of_model(tree, (*loc, "model"), network["model"], models)
    elif "preset" in network:
        base = _dump(read_network(_find_named(tree, "networks", (*loc, "preset"), network["preset"])))
    else:
        return network
    changes = {field: value for field, value in network.items() if field not in ("preset", "model")}
    return {**base, **changes}


def _network_of_model(tree: Tree, loc: Loc, name: JsonValue, models: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The network that one of the recipe's models says it has."""
    model = models.get(name) if isinstance(name, str) else None
    if model is None:
        hint = suggest(name, models)
        known = f"expected one of {', '.join(models) or 'none, for the recipe has no models'}"
        raise tree.error(loc, f"found {name!r}, {known}{f': {hint}' if hint else ''}")
    network = model.get("network") if isinstance(model, dict) else None
    if not isinstance(network, dict):
        raise tree.error(
            loc,
            f"the model {name} does not say which network it has: give models.{name}.network, as a name of a file of "
            "data_specs/networks",
        )
    return network


def _dump(spec: Spec) -> dict[str, JsonValue]:
    return spec.model_dump(mode="json")


def _validate(cls: type[_S], tree: Tree, fields: dict[str, JsonValue]) -> _S:
    try:
        # JSON mode is strict about types, but accepts a list for a tuple.
        return cls.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        problems = list(explain_errors(cls, tree, error.errors()))
        more = len(problems) - MAX_PROBLEMS
        rest = [f"there are {more} more problems; at {tree.path}"] if more > 0 else []
        raise RecipeError(*problems[:MAX_PROBLEMS], *rest) from error
