"""What a YAML file says in short, written out: names become the contents of files, paths become absolute."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue, ValidationError

from wavlm.specs import CorpusSpec, MixSpec, ModelSpec, NetworkSpec, Spec
from wavlm.specs.explain import explain_errors
from wavlm.specs.lookup import find_file, list_names, names_in, specs_folders, suggest
from wavlm.specs.tree import Loc, RecipeError, Tree, parse_tree

MAX_PROBLEMS = 20  # that one message lists
_S = TypeVar("_S", bound=Spec)


def read_spec(cls: type[_S], path: Path) -> _S:
    tree = parse_tree(path)
    if cls is CorpusSpec:
        _locate_folders(tree.fields, path)
        _locate_digests(tree.fields, path)
    spec = validate(cls, tree, tree.fields)
    name = getattr(spec, "name", path.stem)  # a network has no field `name`
    if name != path.stem:
        raise tree.error(("name",), f"found {name!r}, expected {path.stem!r}, the name of its file")
    return spec


def find_named(tree: Tree, kind: str, loc: Loc, name: JsonValue) -> Path:
    """The file of a name that a recipe gives in the field `loc`; kind: `corpora`, `models`, `mixes` or `networks`."""
    folders = tuple(folder / kind for folder in specs_folders(tree.path))
    found = find_file(folders, name) if isinstance(name, str) else None
    if found is None:
        hint = suggest(name, [item for folder in folders for item in names_in(folder)])
        raise tree.error(loc, f"found {name!r}, expected one of {list_names(folders)}{f': {hint}' if hint else ''}")
    return found


def read_corpus_fields(tree: Tree, loc: Loc, name: JsonValue, role: str) -> JsonValue:
    """The fields of the corpus `name`, which must have that role."""
    corpus = read_spec(CorpusSpec, find_named(tree, "corpora", loc, name))
    if corpus.role == "evaluation" != role:
        raise tree.error(
            loc,
            f"found {name!r}, a corpus of role 'evaluation', expected one of role {role!r}: what models are scored on "
            "is never trained on",
        )
    if corpus.role != role:
        raise tree.error(loc, f"found {name!r}, a corpus of role {corpus.role!r}, expected one of role {role!r}")
    return dump(corpus)


def read_model_fields(tree: Tree, loc: Loc, model: JsonValue) -> JsonValue:
    """The fields of a model that a recipe gives by name or writes out."""
    if isinstance(model, str):
        found = parse_tree(find_named(tree, "models", loc, model))
        return dump(validate(ModelSpec, found, expand_model(found, (), found.fields)))
    return expand_model(tree, loc, model) if isinstance(model, dict) else model


def expand_model(tree: Tree, loc: Loc, model: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The fields of a model, with its `registry` and its network written out, and the path of a folder absolute."""
    expanded = dict(model)
    if "registry" in expanded:
        if "source" in expanded:
            raise tree.error((*loc, "registry"), "registry and source are both given: a model has one source")
        expanded["source"] = expand_reference(tree, (*loc, "registry"), expanded.pop("registry"))
    _locate_folder(source := expanded.get("source"), tree.path)
    if isinstance(source, dict) and type(source.get("version")) is int:  # a number is what people write there
        expanded["source"] = {**source, "version": str(source["version"])}
    if expanded.get("network") is not None:
        expanded["network"] = _expand_network(tree, (*loc, "network"), expanded["network"], {})
    return expanded


def expand_iteration(tree: Tree, number: int, iteration: JsonValue, models: dict[str, JsonValue]) -> JsonValue:
    """The fields of an iteration, its mix and its network written out. models: those of the recipe, written out."""
    if not isinstance(iteration, dict):
        return iteration  # validation will refuse it
    expanded = dict(iteration)
    loc = ("iterations", number)
    if iteration.get("mix") is not None:
        expanded["mix"] = dump(read_spec(MixSpec, find_named(tree, "mixes", (*loc, "mix"), iteration["mix"])))
    codebook = iteration.get("codebook")
    if isinstance(codebook, dict) and codebook.get("type") == "external":
        expanded["codebook"] = _locate_file(codebook, tree.path)
    if "network" in iteration:
        expanded["network"] = _expand_network(tree, (*loc, "network"), iteration["network"], models)
    return expanded


def _expand_network(tree: Tree, loc: Loc, network: JsonValue, models: dict[str, JsonValue]) -> JsonValue:
    """The fields of a network that is given by name, by `preset` or `model` and changes, or written out."""
    if isinstance(network, str):
        return dump(read_spec(NetworkSpec, find_named(tree, "networks", loc, network)))
    if not isinstance(network, dict):
        return network
    if "model" in network:
        base = _network_of_model(tree, (*loc, "model"), network["model"], models)
    elif "preset" in network:
        base = dump(read_spec(NetworkSpec, find_named(tree, "networks", (*loc, "preset"), network["preset"])))
    else:
        return network
    changes = {field: value for field, value in network.items() if field not in ("preset", "model")}
    return {**base, **changes}


def expand_baseline(tree: Tree, number: int, baseline: JsonValue) -> JsonValue:
    """The fields of a baseline that is given by its type alone, or with its network written out."""
    if isinstance(baseline, str):
        return {"type": baseline}
    if isinstance(baseline, dict) and baseline.get("network") is not None:
        loc = ("baselines", number, "network")
        return {**baseline, "network": _expand_network(tree, loc, baseline["network"], {})}
    return baseline


def require_name(spec: _S, tree: Tree) -> _S:
    """The spec, if it is named as its file is."""
    if getattr(spec, "name", None) != tree.path.stem:
        raise tree.error(
            ("name",), f"found {getattr(spec, 'name', None)!r}, expected {tree.path.stem!r}, the name of its file"
        )
    return spec


def validate(cls: type[_S], tree: Tree, fields: dict[str, JsonValue]) -> _S:
    try:
        # JSON mode is strict about types, but accepts a list for a tuple.
        return cls.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        problems = list(explain_errors(cls, tree, error.errors()))
        more = len(problems) - MAX_PROBLEMS
        rest = [f"there are {more} more problems; at {tree.path}"] if more > 0 else []
        raise RecipeError(*problems[:MAX_PROBLEMS], *rest) from error


def dump(spec: Spec) -> dict[str, JsonValue]:
    return spec.model_dump(mode="json")


def expand_reference(tree: Tree, loc: Loc, reference: JsonValue) -> JsonValue:
    """The source that NAME@ALIAS or NAME:VERSION stands for."""
    text = reference if isinstance(reference, str) else ""
    model, sign, part = max(text.rpartition("@"), text.rpartition(":"), key=lambda found: len(found[0]))
    if not model or not part or (sign == ":") != part.isdigit():
        raise tree.error(loc, f"found {reference!r}, expected NAME@ALIAS or NAME:VERSION, as in wavlm-mine@champion")
    return {"type": "registry", "model": model, "alias" if sign == "@" else "version": part}


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


def _locate_folder(source: JsonValue, path: Path) -> None:
    """Make the path of a model's folder absolute. A relative one starts at the folder of the spec's file."""
    if isinstance(source, dict) and source.get("type") == "folder" and isinstance(source.get("path"), str):
        source["path"] = str(path.absolute().parent / os.path.expanduser(str(source["path"])))  # noqa: PTH111


def _locate_file(codebook: dict[str, JsonValue], path: Path) -> dict[str, JsonValue]:
    """The fields of external labels, the path of their file absolute."""
    file = codebook.get("file")
    if not isinstance(file, str):
        return codebook
    return {**codebook, "file": str(path.absolute().parent / os.path.expanduser(file))}  # noqa: PTH111


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
