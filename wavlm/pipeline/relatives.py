"""Why an artifact has to be made, in words: how it differs from its nearest relative in the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import MISSING, fields
from typing import Any

from pydantic import BaseModel, JsonValue

from wavlm.pipeline.artifacts import Artifact, Corpus
from wavlm.pipeline.differences import Difference
from wavlm.pipeline.store import Store

SHOWN_DIFFERENCES = 3
SHOWN_LETTERS = 60
SHOWN_INPUTS = 2


def explain_make(artifact: Artifact, store: Store, made: Set[str]) -> str:
    """Why an artifact would be made: outdated, begun, new, or unlike its relative.

    `made`: keys of what is made before it.
    """
    if outdated := store.explain_outdated(artifact):
        return outdated
    if store.partial_folder(artifact).is_dir():
        return "begun; continues"
    found = store.explain(artifact)
    if found is None:
        return f"new: the store has no {artifact.kind} yet"
    folder, differences = found
    inputs = [item for item in differences if _holds_inputs(artifact, item.field)]
    own = [item for item in differences if item not in inputs]
    parts = [_describe(artifact, item) for item in own[:SHOWN_DIFFERENCES]]
    if len(own) > SHOWN_DIFFERENCES:
        parts.append(f"{len(own) - SHOWN_DIFFERENCES} more fields differ")
    parts += _describe_inputs(artifact, inputs, made)
    name = folder.name.rpartition("-")[0]
    kin = "" if name == artifact.name else f" (there is no other {artifact.name})"
    return f"unlike {folder.name}{kin}: {'; '.join(parts)}"


def _describe(artifact: Artifact, item: Difference) -> str:
    """`max_seconds is 4.0 there, 3.0 wanted`. A value that is not given is shown as the default that it has."""
    if item.field == "format":
        return f"it has format {item.existing} of an earlier version, {item.wanted} is wanted"
    if item.field == "spec.sources" and isinstance(artifact, Corpus) and artifact.spec.folder:
        return "its folder held other files"
    there, wanted = (_show(artifact, item.field, value) for value in (item.existing, item.wanted))
    named = getattr(getattr(artifact, item.field, None), "name", None)  # of a mix: a name is no part of an identity
    return f"{item.field.removeprefix('spec.')} is {there} there, {named or wanted} wanted"


def _describe_inputs(artifact: Artifact, inputs: Sequence[Difference], made: Set[str]) -> Iterator[str]:
    """What of what it is made from is another one, and whether that has to be made first."""
    for item in inputs:
        there = set(item.existing if isinstance(item.existing, list) else [item.existing])
        others = [one for one in _inputs_of(artifact, item.field) if one.key not in there]
        names = ", ".join(f"{one.kind}/{one.name}" for one in others)
        if len(others) > SHOWN_INPUTS:
            names = f"{others[0].kind} ({len(others)} of them)"
        if not others:  # the order, or less than there
            yield f"made from fewer or from reordered {item.field}"
        else:
            first = " (to be made)" if any(one.key in made for one in others) else ""
            yield f"made from other {names}{first}"


def _show(artifact: Artifact, field: str, value: JsonValue) -> str:
    if value is None:
        found = _default_of(artifact, field)
        return "not given" if found in (MISSING, None) else f"{_shorten(found)} (the default)"
    return _shorten(value)


def _default_of(artifact: Artifact, field: str) -> Any:
    """The default of a field of an identity; MISSING if it has none."""
    first, *rest = field.split(".")
    names = {renamed: name for name, renamed in artifact.identity_names.items()}
    own = next((item for item in fields(artifact) if item.name == names.get(first, first)), None)
    if own is None or not rest:
        return own.default if own else MISSING
    value = getattr(artifact, own.name)
    for name in rest[:-1]:
        value = getattr(value, name, None)
    known = type(value).model_fields.get(rest[-1]) if isinstance(value, BaseModel) else None
    return MISSING if known is None or known.is_required() else known.get_default(call_default_factory=True)


def _inputs_of(artifact: Artifact, field: str) -> list[Artifact]:
    names = {renamed: name for name, renamed in artifact.identity_names.items()}
    value = getattr(artifact, names.get(field, field), None)
    return [item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, Artifact)]


def _holds_inputs(artifact: Artifact, field: str) -> bool:
    return bool(_inputs_of(artifact, field))


def _shorten(value: Any) -> str:
    """The text of a value, cut where it is long."""
    text = str(value.model_dump(mode="json") if isinstance(value, BaseModel) else value)
    return text if len(text) <= SHOWN_LETTERS else f"{text[: SHOWN_LETTERS - 3]}..."
