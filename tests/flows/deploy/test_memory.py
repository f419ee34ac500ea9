"""What was written last time is remembered whatever its size: Prefect's variables take less than 5,000 characters."""

from __future__ import annotations

from typing import Any, cast

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from prefect.client.schemas.objects import Variable
from prefect.exceptions import ObjectNotFound

from flows.deploy.memory import recall, remember


class Variables:
    """The variables of a server; Prefect's own models check them."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}

    def read_variable_by_name(self, name: str) -> Variable | None:
        return Variable(name=name, value=self.held[name]) if name in self.held else None

    def create_variable(self, variable: VariableCreate) -> None:
        self.held[variable.name] = variable.value

    def update_variable(self, variable: VariableUpdate) -> None:
        self.held[str(variable.name)] = variable.value

    def delete_variable_by_name(self, name: str) -> None:
        if self.held.pop(name, None) is None:
            raise ObjectNotFound(ValueError(name))


@pytest.mark.parametrize("size", [0, 4400, 4600, 40_000])
@pytest.mark.parametrize("letter", ["x", '"', "ů"])
def test_a_value_of_any_size_is_recalled(size: int, letter: str) -> None:
    server = Variables()
    client = cast("SyncPrefectClient", server)
    value = {"job_variables.env.LONG": letter * size, "tags": ["a"], "parameters.until": None}
    remember(client, "wavlm_one", value)
    assert recall(client, "wavlm_one") == value
    longer = {**value, "b": letter * 9000}
    remember(client, "wavlm_one", longer)
    assert recall(client, "wavlm_one") == longer
    remember(client, "wavlm_one", {"tags": []})
    assert server.held == {"wavlm_one": {"tags": []}}


def test_a_part_that_somebody_deleted_is_nothing_remembered() -> None:
    server = Variables()
    client = cast("SyncPrefectClient", server)
    remember(client, "wavlm_one", {"a": "x" * 9000})
    del server.held[next(name for name in server.held if name != "wavlm_one")]
    assert recall(client, "wavlm_one") == {}
    remember(client, "wavlm_one", {"a": "y"})
    assert recall(client, "wavlm_one") == {"a": "y"}
