"""What was written to a server last time: a Prefect variable per deployment, and more where one is too small."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from prefect.exceptions import ObjectNotFound
from pydantic import JsonValue

from wavlm.specs.identity import key_of

TAG = "wavlm-deploy"
MAX_CHARACTERS = 4500  # of one variable; Prefect takes less than 5,000 characters of JSON
PIECES = "pieces"  # the only field of a value that lies in other variables: their names


def recall(client: SyncPrefectClient, name: str) -> dict[str, JsonValue]:
    """What was remembered under a name; empty if nothing was, or if somebody deleted a part of it."""
    held = _read(client, name)
    if not isinstance(held, dict) or held.keys() != {PIECES}:
        return held if isinstance(held, dict) else {}
    pieces = [_read(client, piece) for piece in _pieces_of(held)]
    if not all(isinstance(piece, str) for piece in pieces):
        return {}
    value = json.loads("".join(map(str, pieces)))
    return value if isinstance(value, dict) else {}


def remember(client: SyncPrefectClient, name: str, value: Mapping[str, JsonValue]) -> None:
    """Remember a value of any size. Pieces are new variables, so that a write that is cut off leaves the old value."""
    text = json.dumps(value)
    before = _read(client, name)
    if len(text) <= MAX_CHARACTERS:
        held: dict[str, JsonValue] = dict(value)
    else:
        size = MAX_CHARACTERS // 2  # each quotation mark becomes two characters
        texts = [text[start : start + size] for start in range(0, len(text), size)]
        names = [f"{name}_{key_of(text)}_{number}" for number in range(len(texts))]
        held = {PIECES: [*names]}
        for piece, part in zip(names, texts, strict=True):
            _write(client, piece, part)
    _write(client, name, held)
    for piece in set(_pieces_of(before)) - set(_pieces_of(held)):
        with suppress(ObjectNotFound):
            client.delete_variable_by_name(piece)


def forget(client: SyncPrefectClient, name: str) -> None:
    """Delete what is remembered under a name."""
    for piece in (name, *_pieces_of(_read(client, name))):
        with suppress(ObjectNotFound):
            client.delete_variable_by_name(piece)


def _pieces_of(held: JsonValue) -> list[str]:
    names = held.get(PIECES) if isinstance(held, dict) and held.keys() == {PIECES} else None
    return [str(name) for name in names] if isinstance(names, list) else []


def _read(client: SyncPrefectClient, name: str) -> JsonValue:
    variable = client.read_variable_by_name(name)
    return variable.value if variable else None


def _write(client: SyncPrefectClient, name: str, value: JsonValue) -> None:
    found = client.read_variable_by_name(name)
    if found is None:
        client.create_variable(VariableCreate(name=name, value=value, tags=[TAG]))
    elif found.value != value:
        client.update_variable(VariableUpdate(name=found.name, value=value, tags=[TAG]))
