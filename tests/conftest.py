"""Fixtures that several test files share."""

from pathlib import Path

import pytest

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"


@pytest.fixture(scope="session")
def shared_corpus() -> Path:
    """Real speech, noise and room responses with truth; not part of the product."""
    if not CORPUS.is_dir():
        pytest.skip(f"needs the development corpus at {CORPUS}")
    return CORPUS
