"""Fixtures that several test files share."""

from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"
CORPUS = Path(__file__).parents[2] / "shared" / "corpus"


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
