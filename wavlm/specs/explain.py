"""Explain in words why a YAML file is refused: which field, at which line and column, and what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from wavlm.specs.base import FieldError
from wavlm.specs.lookup import suggest
from wavlm.specs.tree import Loc, Tree

MAX_SHOWN = 200  # letters of a wrong value
MAX_NAMES = 12  # fields that a message lists


def explain_errors(cls: type[BaseModel], tree: Tree, errors: Sequence[ErrorDetails]) -> Iterator[str]:
    """One line per mistake: a mistyped field that is required is one, not two."""
    meant = set[Loc]()
    for error in errors:
        if error["type"] == "extra_forbidden":
            meant.update((*error["loc"][:-1], name) for name in _near(cls, error["loc"]))
    for error in errors:
        is_mistyped = error["type"] == "missing" and error["loc"] in meant
        # Where the only item of a list is wrong, pydantic complains of an empty list, too.
        is_echo = error["type"] == "too_short" and any(_is_below(other["loc"], error["loc"]) for other in errors)
        if not is_mistyped and not is_echo:
            loc, message = _explain(cls, error)
            yield tree.describe(_without_tags(cls, loc), message)


def fields_at(cls: type[BaseModel], loc: Loc) -> list[str]:
    """The fields that a mapping at this place may have, in the order in which they are documented."""
    models = list(_walk(cls, loc))
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _explain(cls: type[BaseModel], error: ErrorDetails) -> tuple[Loc, str]:
    """The path of the field, and what is wrong with it."""
    loc, found, context = error["loc"], error["input"], error.get("ctx", {})
    discriminator = str(context.get("discriminator", "")).strip("'")
    discriminator = "type" if discriminator.endswith("()") else discriminator  # a function that looks at `type`
    match error["type"]:
        case "missing" | "union_tag_not_found":
            name = discriminator or loc[-1]
            text = f"the field {name!r} is required and is not given"
        case "extra_forbidden":
            text = _explain_unknown(loc[-1], fields_at(cls, loc[:-1]))
        case "union_tag_invalid":
            loc, text = (*loc, discriminator), _explain_choice(context["tag"], context["expected_tags"])
        case "literal_error":
            text = _explain_choice(found, context["expected"])
        case _:
            cause = context.get("error")
            loc = (*loc, *cause.field) if isinstance(cause, FieldError) else loc
            shown = "" if isinstance(found, dict | list) else f"found {repr(found)[:MAX_SHOWN]}: "
            text = f"{shown}{error['msg'].removeprefix('Value error, ')}"
    return loc, text


def _is_below(loc: Loc, top: Loc) -> bool:
    return len(loc) > len(top) and loc[: len(top)] == top


def _explain_unknown(name: object, known: Sequence[str]) -> str:
    listed = ", ".join(known[:MAX_NAMES]) + (f" and {len(known) - MAX_NAMES} more" if len(known) > MAX_NAMES else "")
    return f"there is no field {name!r}: {suggest(name, known) or f'expected one of {listed}'}"


def _explain_choice(found: object, expected: str) -> str:
    """`expected`: the names as pydantic lists them, in quotes."""
    names = re.findall(r"'([^']*)'", expected)
    hint = suggest(found, names)
    return f"found {found!r}, expected one of {', '.join(names)}{f': {hint}' if hint else ''}"


def _near(cls: type[BaseModel], loc: Loc) -> list[str]:
    """The field that a mistyped one stands for."""
    hint = suggest(loc[-1], fields_at(cls, loc[:-1]))
    return [hint.removeprefix("did you mean ").removesuffix("?")] if hint else []


def _without_tags(cls: type[BaseModel], loc: Loc) -> Loc:
    """A path as the file has it: pydantic adds the tag of a chosen member, such as `folder` of a source."""
    kept: list[int | str] = []
    for place, part in enumerate(loc):
        known = isinstance(part, int) or part in fields_at(cls, loc[:place]) or place == len(loc) - 1
        if known or not any(part in _tags(model) for model in _walk(cls, loc[:place])):
            kept.append(part)
    return tuple(kept)


def _walk(cls: type[BaseModel], loc: Loc) -> Iterator[type[BaseModel]]:
    """The models that may stand at a place."""
    models, is_name = [cls], False
    for part in loc:
        if isinstance(part, int) or is_name:  # the place in a list, or the name in a mapping of names
            is_name = False
            continue
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        if fields:
            models = [model for field in fields for model in _models_in(field.annotation)]
            is_name = any(get_origin(field.annotation) is dict for field in fields)
        else:
            models = [model for model in models if part in _tags(model)]
    yield from models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _tags(model: type[BaseModel]) -> set[object]:
    """The values of a model's choices with one value: what tells it from other members of a union."""
    annotations = (field.annotation for field in model.model_fields.values())
    return {value for item in annotations if get_origin(item) is Literal for value in get_args(item)}
