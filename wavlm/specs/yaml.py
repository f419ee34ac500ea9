"""YAML in, specs out: recipes, corpora and mixes, with file, line and field in every complaint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from wavlm.errors import UsageError
from wavlm.specs import CorpusSpec, MixSpec, Recipe, Spec

MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 20
_ROLES = {"speech": "speech", "noise": "noise", "rooms": "room"}
_Loc = tuple[int | str, ...]
_S = TypeVar("_S", bound=Spec)


class RecipeError(UsageError):
    """A YAML file of data_specs is wrong; the message lists every fault with its line."""

    def __init__(self, message: str) -> None:
        super().__init__("RECIPE", message)


def read_recipe(path: Path | str) -> Recipe:
    """Read a recipe and the corpora and mixes that it names.

    They are files `corpora/<name>.yaml` and `mixes/<name>.yaml` of the folder above the recipe's.
    Raises RecipeError with file, line, field, what was found and what was expected.
    """
    path = Path(path)
    tree = _read_yaml(path)
    specs = path.resolve().parent.parent
    corpora = {
        field: [_read_named_corpus(path, tree, (field, number), name, specs, role)
                for number, name in enumerate(_list(tree, field))]
        for field, role in _ROLES.items()
    }  # fmt: skip
    mixes = [
        _read_named_mix(path, tree, ("iterations", number, "mix"), iteration.get("mix"), specs)
        if isinstance(iteration, CommentedMap)
        else None
        for number, iteration in enumerate(_list(tree, "iterations"))
    ]
    plain = _to_plain(path, tree)
    for field, found in corpora.items():
        if field in plain:
            plain[field] = [corpus.model_dump(mode="json") for corpus in found]
    for iteration, mix in zip(_list(plain, "iterations"), mixes, strict=True):
        if mix is not None:
            iteration["mix"] = mix.model_dump(mode="json")
    return _validate(Recipe, path, tree, plain)


def read_corpus(path: Path | str) -> CorpusSpec:
    """Read one file of data_specs/corpora; raises RecipeError."""
    return _read_spec(CorpusSpec, Path(path))


def read_mix(path: Path | str) -> MixSpec:
    """Read one file of data_specs/mixes; raises RecipeError."""
    return _read_spec(MixSpec, Path(path))


def _read_spec(cls: type[_S], path: Path) -> _S:
    tree = _read_yaml(path)
    spec = _validate(cls, path, tree, _to_plain(path, tree))
    name = getattr(spec, "name", path.stem)
    if name != path.stem:
        raise RecipeError(f"{path}:{_line(tree, ('name',))}: name: found {name!r}, expected "
                          f"{path.stem!r}, the name of its file")  # fmt: skip
    return spec


def _read_named_corpus(path: Path, tree: CommentedMap, loc: _Loc, name: object, specs: Path, role: str) -> CorpusSpec:
    corpus = read_corpus(_resolve_name(path, tree, loc, name, specs / "corpora"))
    if corpus.role != role:
        raise RecipeError(f"{path}:{_line(tree, loc)}: {_format_loc(loc)}: found {name!r}, a corpus of "
                          f"role {corpus.role!r}, expected one of role {role!r}")  # fmt: skip
    return corpus


def _read_named_mix(path: Path, tree: CommentedMap, loc: _Loc, name: object, specs: Path) -> MixSpec | None:
    return None if name is None else read_mix(_resolve_name(path, tree, loc, name, specs / "mixes"))


def _resolve_name(path: Path, tree: CommentedMap, loc: _Loc, name: object, folder: Path) -> Path:
    available = sorted(item.stem for item in folder.glob("*.yaml"))
    if not isinstance(name, str) or name not in available:
        raise RecipeError(f"{path}:{_line(tree, loc)}: {_format_loc(loc)}: found {name!r}, expected "
                          f"one of {', '.join(available) or 'none'} ({folder})")  # fmt: skip
    return folder / f"{name}.yaml"


def _read_yaml(path: Path) -> CommentedMap:
    """Parse YAML 1.2 without anchors, duplicate keys or size surprises."""
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
    return tree


def _to_plain(path: Path, tree: CommentedMap) -> dict[str, JsonValue]:
    """The tree as plain JSON values; what is no number, boolean or null is a string."""

    def convert(value: object, depth: int) -> JsonValue:
        if depth > MAX_DEPTH:
            raise RecipeError(f"{path}: found more than {MAX_DEPTH} nested levels, expected fewer")
        if isinstance(value, CommentedMap):
            return {str(key): convert(item, depth + 1) for key, item in value.items()}
        if isinstance(value, CommentedSeq):
            return [convert(item, depth + 1) for item in value]
        return _scalar(value)

    return {str(key): convert(value, 1) for key, value in tree.items()}


def _scalar(value: object) -> JsonValue:
    """Undo the parser's own number types, which remember their spelling."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else str(value)


def _validate(cls: type[_S], path: Path, tree: CommentedMap, plain: dict[str, JsonValue]) -> _S:
    try:
        # JSON mode: strict about types, yet a list may become a tuple.
        return cls.model_validate_json(json.dumps(plain))
    except ValidationError as error:
        faults = [_fault(path, tree, detail) for detail in error.errors()]
        raise RecipeError("\n".join(faults)) from error


def _fault(path: Path, tree: CommentedMap, detail: ErrorDetails) -> str:
    loc = detail["loc"]
    found = detail["input"]
    shown = "" if detail["type"] == "missing" or isinstance(found, dict | list) else f"{found!r}: "
    return f"{path}:{_line(tree, loc)}: {_format_loc(loc)}: {shown}{detail['msg']}"


def _line(tree: CommentedMap, loc: _Loc) -> int:
    """1-based line of the deepest part of `loc` that the file holds."""
    node: object = tree
    line = 0
    for part in loc:
        if isinstance(node, CommentedMap) and part in node:
            line = node.lc.key(part)[0]
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line = node.lc.item(part)[0]
        else:
            continue  # pydantic names union members in its paths; the file does not
        node = node[part]
    return line + 1


def _format_loc(loc: _Loc) -> str:
    return ".".join(str(part) for part in loc) or "(the whole file)"


def _list(tree: object, field: str) -> list[dict[str, JsonValue]]:
    value = tree.get(field) if isinstance(tree, dict) else None
    return value if isinstance(value, list) else []
