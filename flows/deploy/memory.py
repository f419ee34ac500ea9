"""What was written to a server last time: a Prefect variable per deployment."""

from __future__ import annotations

from collections.abc import Mapping

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from pydantic import JsonValue

TAG = "wavlm-deploy"


def recall(client: SyncPrefectClient, name: str) -> dict[str, JsonValue]:
    """What was remembered under a name; empty if nothing was."""
    variable = client.read_variable_by_name(name)
    return variable.value if variable and isinstance(variable.value, dict) else {}


def remember(client: SyncPrefectClient, name: str, value: Mapping[str, JsonValue]) -> None:
    """Remember a value; a variable takes 5,000 characters of JSON."""
    found = client.read_variable_by_name(name)
    if found is None:
        client.create_variable(VariableCreate(name=name, value=dict(value), tags=[TAG]))
    elif found.value != dict(value):
        client.update_variable(VariableUpdate(name=found.name, value=dict(value), tags=[TAG]))
