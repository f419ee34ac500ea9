"""The web server that all tests of downloads use."""

from collections.abc import Iterator

import pytest

from tests.corpus.download.archives import CONTENT
from tests.corpus.download.bad_server import BadServer, serving


@pytest.fixture
def server() -> Iterator[BadServer]:
    with serving(CONTENT) as server:
        yield server
