"""The store of a small recipe, made once, and the page of its second iteration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.report.stores import MadeStore, make_store
from wavlm.pipeline.registration import TRACKING_URI
from wavlm.pipeline.report import gather_report, write_report


@pytest.fixture(scope="session", autouse=True)
def _own_registry() -> Iterator[None]:
    """A registration counts for the registry that is configured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(TRACKING_URI, raising=False)
        yield


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    """Nobody changes it: a test that needs another store makes its own."""
    return make_store(tmp_path_factory.mktemp("report") / "store")


@pytest.fixture(scope="session")
def page(made: MadeStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the second iteration."""
    return write_report(gather_report(made.models[1], made.recipe, made.store), tmp_path_factory.mktemp("page"))
