"""Fixtures that several test files share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import LIMIT_SECONDS

DATA = Path(__file__).parent / "data"
CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
# Files that take minutes come first, so that at the end no process waits for another one.
LONGEST = (
    "tests/servers/",
    "tests/docs/test_your_own_speech.py",
    "tests/docs/test_commands_run.py",
    "tests/flows/test_pipeline.py",
    "tests/faults/",
    "tests/field/test_executors.py",
    "tests/execution/test_launch.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; `make test` tells xdist to keep this order."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Half a minute of real speech with transcripts and phones, and noise; its README says whose.

    Speech is `speech/<speaker>/<key>.flac`, noise is `noise/<name>.flac`: 16 kHz, mono, 16 bits.
    """
    return DATA


@pytest.fixture(scope="session")
def real_speech() -> tuple[Path, ...]:
    """The speech files of tests/data, then those of the development corpus if it is there."""
    folders = (DATA / "speech", CORPUS / "speech")
    return tuple(path for folder in folders for path in sorted(folder.glob("*/*.flac")))


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[None]:
    """A temporary Prefect server, which takes half a minute to start.

    Runs have no heartbeats in it, whose end would cost a second for each.
    """
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        prefect_test_harness(server_startup_timeout=int(LIMIT_SECONDS)),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield
