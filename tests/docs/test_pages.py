"""Each kind of people has one page that fits a screen, and the README leads to it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {
    "try it": "try.md",
    "train on your own speech": "own-speech.md",
    "run it on a platform": "deploy.md",
    "look up a model": "models.md",
}
SCREEN_LINES = 46
SCREEN_LETTERS = 125


@pytest.mark.parametrize("name", PAGES.values())
def test_a_page_fits_a_screen(name: str) -> None:
    lines = (ROOT / "docs" / name).read_text().splitlines()
    assert len(lines) <= SCREEN_LINES
    assert max(map(len, lines)) <= SCREEN_LETTERS


@pytest.mark.parametrize("name", PAGES.values())
def test_the_readme_leads_to_a_page(name: str) -> None:
    assert f"](docs/{name})" in (ROOT / "README.md").read_text()
