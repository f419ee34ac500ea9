"""A Prefect server per test, and the tiny recipe of the tests of flows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.conftest import environment, tiny_recipe  # noqa: F401 - fixtures
from tests.servers.servers import ROOT, PrefectServer


@pytest.fixture
def prefect_server(environment: dict[str, str], tmp_path: Path) -> Iterator[PrefectServer]:  # noqa: F811
    """Started in the project's folder, whose prefect.toml it reads."""
    server = PrefectServer({**environment, "PYTHONPATH": str(ROOT)}, tmp_path)
    try:
        yield server
    finally:
        server.close()
