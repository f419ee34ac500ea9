"""Read YAML files into specs: recipes, corpora, mixes, networks. Every error names file, line and field."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from wavlm.errors import UsageError
from wavlm.specs import CorpusSpec, MixSpec, NetworkSpec, Recipe, Spec
from wavlm.specs.lookup import find_file, is_bare_name, list_names, shipped_specs, specs_folders

MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 20
_ROLES = {"speech": "speech", "noise": "noise", "rooms": "room"}  # a recipe's field -> the role of its corpora
_Loc = tuple[int | str, ...]  # the path of a field, e.g. ("iterations", 0, "network")
_S = TypeVar("_S", bound=Spec)


class RecipeError(UsageError):
    """A YAML file is wrong. The message lists every error with its file and line."""

    def __init__(self, message: str) -> None:
        super().__init__("RECIPE", message)


@dataclass(frozen=True)
class _File:
    """A parsed YAML file; its tree remembers the line of each field."""

    path: Path
    tree: CommentedMap

    def error(self, loc: _Loc, message: str) -> RecipeError:
        return RecipeError(self.describe(loc, message))

    def describe(self, loc: _Loc, message: str) -> str:
        field = ".".join(str(part) for part in loc) or "(the whole file)"
        return f"{self.path}:{_line(self.tree, loc)}: {field}: {message}"


def read_recipe(path: Path | str) -> Recipe:
    """Read a recipe and replace the names of corpora, mixes and networks in it by their contents.

    `path` is a file or the bare name of a shipped recipe, e.g. `demo`; a file of that name goes first.
    A corpus `x` is the file `corpora/x.yaml` of the folder above the recipe's folder; if there is none, of the shipped
    data_specs. Mixes and networks are found likewise in `mixes/` and `networks/`.
    Raises RecipeError with file, line, field, what was found and what was expected.
    """
    file = _parse(_find_recipe(Path(path)))
    fields = _to_plain(file)
    for field, role in _ROLES.items():
        if isinstance(names := fields.get(field), list):
            fields[field] = [_read_corpus_fields(file, (field, n), name, role) for n, name in enumerate(names)]
    if isinstance(iterations := fields.get("iterations"), list):
        fields["iterations"] = [_expand_iteration(file, n, iteration) for n, iteration in enumerate(iterations)]
    return _validate(Recipe, file, fields)  # also refuses what is not a list


def read_corpus(path: Path | str) -> CorpusSpec:
    """Read one file of data_specs/corpora; raises RecipeError."""
    return _read_spec(CorpusSpec, Path(path))


def read_mix(path: Path | str) -> MixSpec:
    """Read one file of data_specs/mixes; raises RecipeError."""
    return _read_spec(MixSpec, Path(path))


def read_network(path: Path | str) -> NetworkSpec:
    """Read one file of data_specs/networks; raises RecipeError."""
    return _read_spec(NetworkSpec, Path(path))


def _read_spec(cls: type[_S], path: Path) -> _S:
    file = _parse(path)
    fields = _to_plain(file)
    if cls is CorpusSpec:
        _locate_folders(fields, path)
    spec = _validate(cls, file, fields)
    name = getattr(spec, "name", path.stem)  # a network has no field `name`
    if name != path.stem:
        raise file.error(("name",), f"found {name!r}, expected {path.stem!r}, the name of its file")
    return spec


def _locate_folders(fields: dict[str, JsonValue], path: Path) -> None:
    """Make the paths of folder sources absolute. Relative ones start at the folder of the spec's file."""
    sources = fields.get("sources")
    for source in sources if isinstance(sources, list) else ():
        if isinstance(source, dict) and source.get("type") == "folder" and isinstance(source.get("path"), str):
            folder = Path(str(source["path"])).expanduser()
            source["path"] = str(
                folder if folder.is_absolute() else Path(os.path.normpath(path.absolute().parent / folder))
            )


def _find_recipe(path: Path) -> Path:
    """The path as it is; for a bare name without a file, the shipped recipe of that name."""
    if path.is_file() or not is_bare_name(path):
        return path
    folders = (shipped_specs() / "recipes",)
    found = find_file(folders, path.name)
    if found is None:
        raise RecipeError(
            f"{path}: no such file and no shipped recipe; expected a path or one of {list_names(folders)}"
        )
    return found


def _find_named(file: _File, kind: str, loc: _Loc, name: JsonValue) -> Path:
    """The file of a name that a recipe gives in the field `loc`; kind: `corpora`, `mixes` or `networks`."""
    folders = tuple(folder / kind for folder in specs_folders(file.path))
    found = find_file(folders, name) if isinstance(name, str) else None
    if found is None:
        raise file.error(loc, f"found {name!r}, expected one of {list_names(folders)}")
    return found


def _read_corpus_fields(file: _File, loc: _Loc, name: JsonValue, role: str) -> JsonValue:
    """The fields of the corpus `name`, which must have that role."""
    corpus = read_corpus(_find_named(file, "corpora", loc, name))
    if corpus.role != role:
        raise file.error(loc, f"found {name!r}, a corpus of role {corpus.role!r}, expected one of role {role!r}")
    return _dump(corpus)


def _expand_iteration(file: _File, number: int, iteration: JsonValue) -> JsonValue:
    """The fields of an iteration, its mix and its network written out."""
    if not isinstance(iteration, dict):
        return iteration  # validation will refuse it
    expanded = dict(iteration)
    loc = ("iterations", number)
    if iteration.get("mix") is not None:
        expanded["mix"] = _dump(read_mix(_find_named(file, "mixes", (*loc, "mix"), iteration["mix"])))
    if "network" in iteration:
        expanded["network"] = _expand_network(file, (*loc, "network"), iteration["network"])
    return expanded


def _expand_network(file: _File, loc: _Loc, network: JsonValue) -> JsonValue:
    """The fields of a network that is given by name, by `preset` and changes, or written out."""
    if isinstance(network, str):
        return _dump(read_network(_find_named(file, "networks", loc, network)))
    if not isinstance(network, dict) or "preset" not in network:
        return network
    preset = read_network(_find_named(file, "networks", (*loc, "preset"), network["preset"]))
    changes = {field: value for field, value in network.items() if field != "preset"}
    return {**_dump(preset), **changes}


def _dump(spec: Spec) -> dict[str, JsonValue]:
    return spec.model_dump(mode="json")


def _parse(path: Path) -> _File:
    """Parse YAML 1.2; refuses large files, anchors and duplicate keys."""
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise RecipeError(f"{path}: no such file; expected a YAML file of data_specs") from error
    if size > MAX_FILE_BYTES:
        raise RecipeError(f"{path}: found {size} bytes, expected at most {MAX_FILE_BYTES}")
    try:
        text = path.read_text(encoding="utf-8")
        for event in YAML(typ="rt").parse(text):
            if getattr(event, "anchor", None):
                line = event.start_mark.line + 1
                raise RecipeError(f"{path}:{line}: found an anchor or alias, expected plain values")
        tree = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    except (YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(tree, CommentedMap):
        raise RecipeError(f"{path}:1: found {type(tree).__name__}, expected a mapping of fields")
    return _File(path, tree)


def _to_plain(file: _File) -> dict[str, JsonValue]:
    """The tree as plain JSON values. What is not a number, a boolean or null becomes a string."""

    def convert(value: object, depth: int) -> JsonValue:
        if depth > MAX_DEPTH:
            raise RecipeError(f"{file.path}: found more than {MAX_DEPTH} nested levels, expected fewer")
        if isinstance(value, CommentedMap):
            return {str(key): convert(item, depth + 1) for key, item in value.items()}
        if isinstance(value, CommentedSeq):
            return [convert(item, depth + 1) for item in value]
        return _scalar(value)

    return {str(key): convert(value, 1) for key, value in file.tree.items()}


def _scalar(value: object) -> JsonValue:
    """A plain number or string; the parser has number types of its own, which remember their spelling."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else str(value)


def _validate(cls: type[_S], file: _File, fields: dict[str, JsonValue]) -> _S:
    try:
        # JSON mode is strict about types, but accepts a list for a tuple.
        return cls.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        raise RecipeError("\n".join(_describe(file, detail) for detail in error.errors())) from error


def _describe(file: _File, detail: ErrorDetails) -> str:
    found = detail["input"]
    shown = "" if detail["type"] == "missing" or isinstance(found, dict | list) else f"{found!r}: "
    return file.describe(detail["loc"], f"{shown}{detail['msg']}")


def _line(tree: CommentedMap, loc: _Loc) -> int:
    """1-based line of the deepest part of `loc` that the file has."""
    node: object = tree
    line = 0
    for part in loc:
        if isinstance(node, CommentedMap) and part in node:
            line = node.lc.key(part)[0]
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line = node.lc.item(part)[0]
        else:
            continue  # pydantic adds the names of union members, which the file does not have
        node = node[part]
    return line + 1
